// The filter of a process's system calls, and what it says when it meets a forbidden one.
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "tether/sandbox/sandbox.h"
#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {

constexpr sock_filter kLinkFilter[] = {
#include "tether/link_filter.inc"
};

int report_to = -1;

// The kernel has not made the call. SIGSYS is blocked in here, so the next forbidden one ends the
// process at once.
void on_forbidden_call(int /*number*/, siginfo_t* about, void* /*context*/) {
  LinkHeader header;
  header.type = LinkType::kForbiddenCall;
  header.value = static_cast<uint32_t>(about->si_syscall);
  iovec part{&header, sizeof header};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ::sendmsg(report_to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  for (;;) ::syscall(SYS_getppid);
}

}  // namespace

std::span<const sock_filter> link_filter() { return kLinkFilter; }

common::Status limit_calls(std::span<const sock_filter> filter, int report) {
  report_to = report;
  struct sigaction action {};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = SA_SIGINFO;
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, SIGSYS);
  if (::sigaction(SIGSYS, &action, nullptr) != 0 ||
      ::sigprocmask(SIG_UNBLOCK, &only, nullptr) != 0) {
    return common::errno_error("handle", "SIGSYS");
  }
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return common::errno_error("install", "filter of system calls");
  }
  return {};
}

}  // namespace tether
