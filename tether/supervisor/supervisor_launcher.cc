// The launchers that stay: they have joined the container's namespaces and clone a process for each
// session that is asked for; one has a seccomp filter, which its sessions then need not install,
// and the other, which most containers never have, none. There is nothing in them to lose: when one
// is gone, the next session starts another.
#include <signal.h>
#include <sys/socket.h>

#include "common/fd_message.h"
#include "tether/session/confinement.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr uint32_t kMostTries = 3;
static_assert(kLaunchRequestFds <= common::kMaxMessageFds);

int send_request(int launcher, int status, const Launching& launching, bool outside) {
  LaunchRequest request;
  request.outside = outside ? 1 : 0;
  std::array<int, kLaunchRequestFds> fds = {status, launching.spec.get()};
  size_t count = 2;
  for (size_t fd = 0; fd < launching.stdio.size(); ++fd) {
    if (!launching.stdio[fd]) continue;
    request.stdio |= 1U << fd;
    fds[count++] = launching.stdio[fd].get();
  }
  const iovec part{&request, sizeof request};
  const auto given = std::span(fds).first(count);
  return common::send_fds(launcher, {&part, 1}, given, MSG_DONTWAIT) < 0 ? errno : 0;
}

}  // namespace

int Supervisor::start_launcher(bool sealed) {
  Launcher& launcher = launchers_[sealed ? 1 : 0];
  stop_launcher(launcher);
  if (primary_->reaped) return ESRCH;  // Its number may be another's.
  const common::UniqueFd join = system_.open_pidfd(primary_->pid);
  if (!join) return ESRCH;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  const common::UniqueFd theirs(ends[1]);
  launcher.requests.reset(ends[0]);
  ::shutdown(ends[0], SHUT_RD);  // It has nothing to say here.
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &kLinkSendBuffer, sizeof kLinkSendBuffer);
  const std::array<FdSlot, 4> slots = {{{primary_spec_.get(), kLaunchSpecFd},
                                        {join.get(), kLaunchJoinFd},
                                        {theirs.get(), kLaunchRequestsFd},
                                        {join.get(), kLaunchSealedFd}}};
  const pid_t pid = system_.spawn("launch", std::span(slots).first(sealed ? 4 : 3), -1);
  if (pid < 0) {
    launcher.requests.reset();
    return -pid;
  }
  launcher.pid = pid;
  return 0;
}

// So that the first exec finds one. An exec that came before has started it, and one that needs the
// other kind starts that.
void Supervisor::start_first_launcher() {
  launcher_at_ms_ = 0;
  const bool sealed = is_sealable(boot_.config.sandbox());
  const bool running = primary_->state == protocol::SessionState::kRunning && !primary_->reaped;
  if (running && launchers_[sealed ? 1 : 0].pid == 0) (void)start_launcher(sealed);
}

void Supervisor::stop_launcher(Launcher& launcher) {
  launcher.requests.reset();
  if (launcher.pid > 0) system_.signal(launcher.pid, SIGKILL);
}

// Before the container's file systems can go: they hold them.
void Supervisor::stop_launchers() {
  for (Launcher& launcher : launchers_) stop_launcher(launcher);
}

bool Supervisor::on_launcher_end(pid_t pid) {
  for (Launcher& launcher : launchers_) {
    if (launcher.pid != pid) continue;
    launcher = {};
    return true;
  }
  return false;
}

bool Supervisor::launcher_alive() const { return launchers_[0].pid > 0 || launchers_[1].pid > 0; }

int Supervisor::ask_launcher(Session& session) {
  const common::UniqueFd theirs = connect_status(session);
  if (!theirs || !session.launching.spec) return EMFILE;
  ++session.launching.tries;
  const Launcher& launcher = launchers_[session.sealed ? 1 : 0];
  const auto ask = [&] {
    return send_request(launcher.requests.get(), theirs.get(), session.launching, session.outside);
  };
  int failed = EPIPE;
  if (launcher.requests) failed = ask();
  if (failed != EPIPE && failed != ECONNRESET) return failed;
  if (const int none = start_launcher(session.sealed); none != 0) return none;
  return ask();
}

// Nobody holds the other end of its status any more, and there was no process: the launcher has
// died before it came to this one, or the process before it did anything.
void Supervisor::ask_again(Session& session) {
  const bool running = primary_->state == protocol::SessionState::kRunning && !primary_->reaped;
  int failed = ECHILD;
  const bool may = session.launching.spec && session.launching.tries < kMostTries;
  if (running && may) failed = ask_launcher(session);
  if (failed != 0) fail_launch(session, failed, "launcher");
}

}  // namespace tether
