#include "tether/supervisor/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace tether {
namespace {

constexpr int kMaxSlots = 12;
constexpr int kParking =
    64;  // above every slot: sources are moved here first, so that no target overwrites a source
int null_fd = -1;

// Between clone and exec: async-signal-safe calls only. Dies with 125 when anything fails.
[[noreturn]] void become(const char* role, std::span<const FdSlot> fds, int null,
                         const char* program) {
  std::array<int, kMaxSlots> parked{};
  for (size_t i = 0; i < fds.size(); ++i) {
    parked[i] = ::fcntl(fds[i].from, F_DUPFD, kParking);
    if (parked[i] < 0) ::_exit(125);
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (null >= 0) ::dup2(null, fd);
  }
  unsigned next = 3;
  for (size_t i = 0; i < fds.size(); ++i) {
    if (::dup2(parked[i], fds[i].to) < 0) ::_exit(125);
    if (static_cast<unsigned>(fds[i].to) >= next) next = static_cast<unsigned>(fds[i].to) + 1;
  }
  int self = ::open(program, O_RDONLY | O_CLOEXEC);
  if (self < 0 && program == kOwnProgram)
    self = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);  // not as PID 1
  const int high = self < 0 ? -1 : ::fcntl(self, F_DUPFD_CLOEXEC, kParking + kMaxSlots + 1);
  if (high < 0) ::_exit(125);
  // Everything but our own file, which execveat needs: wherever the parking places ended up.
  ::syscall(SYS_close_range, next, static_cast<unsigned>(high) - 1, 0U);
  ::syscall(SYS_close_range, static_cast<unsigned>(high) + 1, ~0U, 0U);
  // What is caught execve resets, and PID 1 ignores nothing.
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::array<char, 8> name = {'t', 'e', 't', 'h', 'e', 'r', 0, 0};
  std::array<char*, 3> argv = {name.data(), const_cast<char*>(role), nullptr};
  std::array<char*, 1> env = {nullptr};
  ::syscall(SYS_execveat, high, "", argv.data(), env.data(), AT_EMPTY_PATH);
  ::_exit(125);
}

}  // namespace

int role_null() {
  if (null_fd < 0) null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  return null_fd;
}

void use_role_null(int fd) { null_fd = fd; }

pid_t spawn_role(const char* role, std::span<const FdSlot> fds, int cgroup_fd,
                 const char* program) {
  if (fds.size() > kMaxSlots) return -E2BIG;
  const int null = role_null();
  clone_args args{};
  args.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup_fd);
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return -errno;
  if (pid == 0) become(role, fds, null, program);
  return static_cast<pid_t>(pid);
}

}  // namespace tether
