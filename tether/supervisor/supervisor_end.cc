// Signals, stopping, and when the containerVM's life is over.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "protocol/config.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
// The kernel knows which group that is.
bool Supervisor::signal_foreground(const Session& session, int number) {
  const bool typed = number == SIGINT || number == SIGQUIT || number == SIGTSTP;
  return typed && session.tty && session.input &&
         ::ioctl(session.input.get(), TIOCSIG, number) == 0;
}

void Supervisor::signal_session(Session& session, int number, SignalTo to) {
  // Its process may have said who it is, and is not executed yet.
  if (session.pid == 0 && session.status && &session != primary_) on_status(session);
  if (number < 1 || number >= NSIG || session.reaped) return;
  // Even before there is a process: whoever prepares it is in the group too.
  if (to != SignalTo::kProcess && number == SIGKILL && &session == primary_ &&
      system_.write_group(container_cgroup_.get(), "cgroup.kill", "1") == 0) {
    return;
  }
  if (session.pid <= 0) return;
  if (to == SignalTo::kForeground && signal_foreground(session, number)) return;
  system_.signal(to == SignalTo::kProcess ? session.pid : -session.pid, number);
}

void Supervisor::tell_signal_event(const Session& session, int number, SignalTo to,
                                   std::string_view by) {
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kSignal;
  record.session = session.id;
  record.value = static_cast<uint32_t>(number);
  record.extra = to == SignalTo::kProcess ? 0 : 1;
  record.payload = by;
  event(record);
}

void Supervisor::on_signal_request(Session& session, const LinkHeader& header) {
  const auto number = static_cast<int>(header.value);
  if (header.value < 1 || header.value >= NSIG || session.end_announced) return;
  if (!requests_.insert(header.writer)) return;
  const auto to = static_cast<SignalTo>(std::min(header.stream, 2U));
  tell_signal_event(session, number, to);
  if (&session == primary_ && stopped_by_hand(number)) {
    restarts_.cancel();
    if (held_ || restart_at_ms_ != 0) return end_unlaunched(number);
    thaw();
  }
  signal_session(session, number, to);
}

void Supervisor::send_stop_signal(std::string_view by) {
  const auto wanted = stop_signal_ != 0 ? stop_signal_ : boot_.config.primary().stop_signal();
  const int number = wanted == 0 || wanted >= NSIG ? SIGTERM : static_cast<int>(wanted);
  tell_signal_event(*primary_, number, SignalTo::kProcess, by);
  if (held_ || restart_at_ms_ != 0) return end_unlaunched(number);
  signal_session(*primary_, number, SignalTo::kProcess);
}

// Asked for again, the shorter grace holds.
void Supervisor::stop(uint64_t grace_ms, uint32_t signal, std::string_view by) {
  if (primary_ == nullptr || primary_->end_announced) return;
  restarts_.cancel();
  thaw();
  const uint64_t kill_at =
      system_.now_ms() + (grace_ms == 0 ? protocol::kDefaultStopGraceMs : grace_ms);
  kill_at_ms_ = kill_at_ms_ == 0 ? kill_at : std::min(kill_at_ms_, kill_at);
  stop_signal_ = signal;
  send_stop_signal(by);
}

void Supervisor::extend_linger() {
  const uint32_t wanted = boot_.config.drain_timeout_ms();
  linger_until_ms_ = system_.now_ms() + (wanted == 0 ? protocol::kDefaultDrainMs : wanted);
}

// The primary is dead, and nobody has come for what it still had to say.
void Supervisor::give_up_output() {
  if (primary_ == nullptr || !primary_->reaped || primary_->end_announced) return;
  if (primary_->attached != 0) return;
  for (uint32_t stream = 0; stream < 2; ++stream) {
    close_output(primary_->outputs[stream]);
    end_output(*primary_, stream);
  }
}

// After the primary's end: as soon as a client has all of it, or nobody is attached and the journal
// has it, takes nothing any more, or there is none and nobody came in time. Who is attached and
// takes nothing finishes from the journal. The clients of other sessions get their ends too, while
// they go on taking.
bool Supervisor::finished() {
  if (primary_ == nullptr) return true;
  if (!primary_->end_announced) return false;
  const bool late = system_.now_ms() >= linger_until_ms_;
  for (const Session& session : sessions_) {
    const bool waits = session.kind == Session::Kind::kExec && session.attached != 0;
    if (waits && !session.over && !late) return false;
  }
  if (launcher_alive() && !late) return false;  // It was killed, and holds file systems.
  if (primary_->exit_acknowledged) return true;
  const bool safe = journal_has_all(*primary_);
  if (primary_->attached != 0) return safe && late;
  return safe || late || (journal_given_up() && system_.now_ms() >= abandoned_at_ms(*primary_));
}

// There was to be one, and its host takes nothing any more.
bool Supervisor::journal_given_up() const {
  return goes_to_journal(*primary_) && !journal_.alive();
}

}  // namespace tether
