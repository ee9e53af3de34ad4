// The launcher that stays: it has joined the container's namespaces and clones a process for each
// session that is asked for. There is nothing in it to lose: when it is gone, the next session
// starts another.
#include <signal.h>
#include <sys/socket.h>

#include <cstring>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr uint32_t kMostTries = 3;

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
  iovec part{&request, sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(kLaunchRequestFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(rights), fds.data(), count * sizeof(int));
  return ::sendmsg(launcher, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

}  // namespace

int Supervisor::start_launcher() {
  stop_launcher();
  const common::UniqueFd join = system_.open_pidfd(primary_->pid);
  if (!join) return ESRCH;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  const common::UniqueFd theirs(ends[1]);
  launcher_.reset(ends[0]);
  ::shutdown(ends[0], SHUT_RD);  // It has nothing to say here.
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &kLinkSendBuffer, sizeof kLinkSendBuffer);
  const std::array<FdSlot, 3> slots = {{{primary_spec_.get(), kLaunchSpecFd},
                                        {join.get(), kLaunchJoinFd},
                                        {theirs.get(), kLaunchRequestsFd}}};
  const pid_t pid = system_.spawn("launch", slots, -1);
  if (pid < 0) {
    launcher_.reset();
    return -pid;
  }
  launcher_pid_ = pid;
  return 0;
}

// Before the container's file systems can go: it holds them.
void Supervisor::stop_launcher() {
  launcher_.reset();
  if (launcher_pid_ > 0) system_.signal(launcher_pid_, SIGKILL);
}

int Supervisor::ask_launcher(Session& session) {
  const common::UniqueFd theirs = connect_status(session);
  if (!theirs || !session.launching.spec) return EMFILE;
  ++session.launching.tries;
  int failed = EPIPE;
  if (launcher_)
    failed = send_request(launcher_.get(), theirs.get(), session.launching, session.outside);
  if (failed != EPIPE && failed != ECONNRESET) return failed;
  if (const int none = start_launcher(); none != 0) return none;
  return send_request(launcher_.get(), theirs.get(), session.launching, session.outside);
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
