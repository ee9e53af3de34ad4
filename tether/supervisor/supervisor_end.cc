// Signals, stopping, and when the containerVM's life is over.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "tether/supervisor/clock.h"
#include "tether/supervisor/supervisor.h"

namespace tether {

void Supervisor::signal_session(Session& session, int number, bool whole_group) {
  if (number < 1 || number >= NSIG || session.reaped) return;
  // Even before there is a process: whoever prepares it is in the group too.
  if (whole_group && number == SIGKILL && session.kind == Session::Kind::kPrimary) {
    const common::UniqueFd all(
        ::openat(container_cgroup_.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
    if (all && ::write(all.get(), "1", 1) == 1) return;
  }
  if (session.pid > 0) ::kill(whole_group ? -session.pid : session.pid, number);
}

void Supervisor::send_stop_signal() {
  const auto wanted = boot_.config.primary().stop_signal();
  signal_session(*primary_, wanted == 0 ? SIGTERM : static_cast<int>(wanted), false);
}

void Supervisor::stop(uint64_t grace_ms) {
  if (primary_ == nullptr || primary_->end_announced || kill_at_ms_ != 0) return;
  send_stop_signal();
  kill_at_ms_ = now_ms() + (grace_ms == 0 ? 10000 : grace_ms);
}

void Supervisor::extend_linger() {
  const uint32_t wanted = boot_.config.drain_timeout_ms();
  linger_until_ms_ = now_ms() + (wanted == 0 ? 10000 : wanted);
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

// After the primary's end: as soon as a client has all of it, or nobody is attached and nobody came
// in time.
bool Supervisor::finished() {
  if (primary_ == nullptr) return true;
  if (!primary_->end_announced) return false;
  if (primary_->exit_acknowledged) return true;
  return primary_->attached == 0 && now_ms() >= linger_until_ms_;
}

}  // namespace tether
