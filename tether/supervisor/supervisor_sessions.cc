// Sessions: reaping, and what follows their end.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

constexpr int kReapsPerTurn = 128;
constexpr int kLeftoverReadsPerTurn = 8;
constexpr int kProbeFailed = 125;

}  // namespace

void Supervisor::reap() {
  for (int i = 0; i < kReapsPerTurn; ++i) {
    int status = 0;
    const pid_t pid = system_.reap(status);
    if (pid <= 0) return;
    on_reaped(pid, status);
  }
  ::kill(::getpid(), SIGCHLD);  // There may be more: make sure that the next turn comes at once.
}

void Supervisor::on_reaped(pid_t pid, int status) {
  if (pid == link_pid_) return on_link_death(status);
  if (pid == dhcp_pid_) return on_dhcp_death();
  if (pid == guestinfo_pid_) return on_guestinfo_death();
  if (pid == relieve_pid_) {
    relieve_pid_ = 0;
    return;
  }
  if (pid == resolver_pid_) {
    resolver_pid_ = 0;
    return update_resolver();
  }
  if (on_launcher_end(pid) || on_upgrade_end(pid, status)) return;
  Session* session = sessions_.find_process(pid);
  if (session == nullptr) {
    if (on_helper_end(pid, status) || on_ssh_end(pid)) return;
    // A launcher's last words may still be unread when the process it reported is already gone.
    for (size_t i = sessions_.size(); i-- > 0;) {
      if (sessions_.at(i).status) on_status(sessions_.at(i), pid);
    }
    session = sessions_.find_process(pid);
  } else if (session->status) {
    on_status(*session);
  }
  if (session == nullptr) return;
  if (pid == session->launcher) {
    session->launcher = 0;
    if (session->pid == 0 && !session->failed && !session->status) {
      return fail_launch(*session, ECHILD, "launcher");
    }
    return after_end(*session);
  }
  session->reaped = true;
  session->exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  session->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  session->slave.reset();
  if (session->status) {  // Whoever else holds the other end has nothing to say of it.
    end_reports(*session);
    session->launching = {};
    on_begun(*session);
  }
  if (session == primary_) {
    stop_launchers();
    extend_linger();
  }
  read_last_output(*session);
}

// The ends of its streams and its own are one piece of news, if no output came with them: an exit
// says that there is no more.
void Supervisor::read_last_output(Session& session) {
  if (session.quiet) {
    journal_.hold();
    on_begun(session);
  }
  std::array<bool, 2> known;
  for (size_t i = 0; i < known.size(); ++i) {
    known[i] = session.introduced && session.outputs[i].told;
  }
  const std::array<uint64_t, 2> heads = {session.outputs[0].ring.head(),
                                         session.outputs[1].ring.head()};
  held_back_ = &session;
  for (uint32_t stream = 0; stream < 2; ++stream) on_output(session, stream);
  after_end(session);
  held_back_ = nullptr;
  for (size_t i = 0; i < known.size(); ++i) {
    Output& output = session.outputs[i];
    if (session.exit_told || !known[i] || output.ring.head() != heads[i]) continue;
    output.told = output.eof_told = true;
  }
  tell_news(session);
  if (journal_.held()) {
    journal_.release();
    watch_journal();
  }
}

// Announces the end once everything that comes before it is there: the launcher's word, the
// process's end, all output.
void Supervisor::after_end(Session& session) {
  if (session.end_announced || session.status || session.launcher != 0) return;
  if (!session.failed && !session.reaped) return;
  if (session.failed) {
    if (session.pid != 0 && !session.reaped) return;
    for (uint32_t stream = 0; stream < 2; ++stream) {
      close_output(session.outputs[stream]);
      if (!session.outputs[stream].ended) return end_output(session, stream);
    }
  }
  if (!session.outputs[0].ended || !session.outputs[1].ended) return;
  if (end_waits_for_journal(session)) return;
  announce_end(session);
}

void Supervisor::announce_end(Session& session) {
  // The kernel's notice of a kill may come after the end that it caused.
  if (&session == primary_) on_memory_events();
  for (uint32_t stream = 0; stream < 2; ++stream) report_dropped(session, stream);
  drop(session.input);
  session.queue.clear();
  session.ended_ms = system_.now_ms();
  if (session.kind == Session::Kind::kHealth) return announce_probe_end(session);
  if (&session == primary_ && restart(session)) return;
  session.end_announced = true;
  session.state = session.failed ? SessionState::kFailed : SessionState::kExited;
  if (session.failed) {
    session.exit_code = protocol::exit_code_for(static_cast<protocol::Stage>(session.failure.stage),
                                                session.failure.errno_value);
  }
  tell_end_event(session);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    if (!session.outputs[stream].eof_told) tell_head(session, stream);
  }
  tell_exit(session);
  if (&session == primary_) {
    thaw();
    kill_at_ms_ = 0;
    extend_linger();
  } else {
    expire_sessions();
  }
}

void Supervisor::announce_probe_end(Session& session) {
  session.end_announced = true;
  const int code = session.failed ? kProbeFailed : session.exit_code;
  if (health_.on_probe_end(session.ended_ms, code)) {
    protocol::JournalRecord record;
    record.kind = EventKind::kHealth;
    record.session = primary_->id;
    record.value = static_cast<uint32_t>(health_.health());
    event(record);
  }
  probe_ = nullptr;
  forget(session);
}

// Its row stays for as long as somebody up the stack may look at it.
void Supervisor::forget(Session& session) {
  stay_quiet(session, false);
  session.over = true;
  sweep_due_ = true;
}

void Supervisor::tell_end_event(const Session& session) {
  protocol::JournalRecord record;
  record.session = session.id;
  if (session.failed) {
    record.kind = EventKind::kFailure;
    record.stage = static_cast<uint16_t>(session.failure.stage);
    record.value = static_cast<uint32_t>(session.failure.errno_value);
    record.extra = static_cast<uint32_t>(session.exit_code);
    record.payload = session.failure.object.data();
  } else {
    record.kind = EventKind::kSessionExited;
    record.value = static_cast<uint32_t>(session.exit_code);
    record.extra = static_cast<uint32_t>(session.exit_signal);
  }
  event(record);
}

void Supervisor::sweep() {
  sweep_due_ = false;
  for (size_t i = sessions_.size(); i-- > 0;) {
    Session& session = sessions_.at(i);
    if (!session.over) continue;
    for (Output& output : session.outputs) keep_reading(output);
    if (session.visible() && session.introduced) {
      LinkHeader gone;
      gone.type = LinkType::kGone;
      gone.session = session.id;
      tell(gone);
    }
    requests_.insert(session.request);
    drop(session.status);
    drop(session.input);
    sessions_.release(session);
  }
}

// Some descendant may still write: it must neither wait nor meet a broken pipe.
void Supervisor::keep_reading(Output& output) {
  if (!output.source) return;
  size_t place = 0;
  while (place < kMaxLeftovers && leftovers_[place]) ++place;
  if (place == kMaxLeftovers) {
    place = next_leftover_++ % kMaxLeftovers;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, leftovers_[place].get(), nullptr);
  }
  const int fd = output.source.get();
  leftovers_[place] = std::move(output.source);
  watch(fd, EPOLLIN, Source::kLeftover, static_cast<uint32_t>(fd));
}

void Supervisor::on_leftover(int fd) {
  const auto place = std::find_if(leftovers_.begin(), leftovers_.end(),
                                  [fd](const common::UniqueFd& one) { return one.get() == fd; });
  // It was let go of in this turn, and its number may be another's.
  if (place == leftovers_.end()) return;
  static std::array<char, 16384> nowhere;
  ssize_t n = 0;
  for (int i = 0; i < kLeftoverReadsPerTurn; ++i) {
    n = ::read(fd, nowhere.data(), nowhere.size());
    if (n < 0 && errno == EINTR) return;
    // One that somebody else holds (see supervisor_streams.cc) is let go of.
    pollfd now{fd, POLLIN, 0};
    if (n < 0 && errno == EAGAIN && (i > 0 || ::poll(&now, 1, 0) <= 0)) return;
    if (n <= 0) break;
  }
  if (n > 0) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  place->reset();
}

}  // namespace tether
