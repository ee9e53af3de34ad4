#include "tether/session/container_init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "tether/session/privileges.h"

namespace tether {
namespace {

constexpr const char* kName = "init";
constexpr char kRole[] = "tether\0launch";  // how PID 1 executed us
constexpr int kReapsAtOnce = 128;

// Whoever holds the command's output open keeps its reader from seeing the end.
void let_go_of_everything() {
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) {
    if (null < 0 || ::dup2(null, fd) < 0) ::close(fd);
  }
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  (void)!::chdir("/");
  ::prctl(PR_SET_NAME, kName);
  // What lists of processes show.
  ::memset(program_invocation_name, 0, sizeof kRole);
  ::strcpy(program_invocation_name, kName);
}

// False: there may be more. Ends with the command.
bool reap(pid_t command) {
  for (int i = 0; i < kReapsAtOnce; ++i) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) return true;
    if (pid != command) continue;
    ::_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
  return false;
}

[[noreturn]] void run_init(pid_t command, const sigset_t& all) {
  let_go_of_everything();
  for (;;) {
    const timespec at_once{};
    const bool reaped = reap(command);
    const int number = ::sigtimedwait(&all, nullptr, reaped ? nullptr : &at_once);
    // The latter two say that we touched a terminal whose foreground is the command's.
    if (number <= 0 || number == SIGCHLD || number == SIGTTIN || number == SIGTTOU) continue;
    ::kill(command, number);
  }
}

}  // namespace

int split_off_init(bool terminal, uint64_t capabilities) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  clone_args args{};
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return errno;
  if (pid > 0) {
    set_capabilities(capabilities);
    run_init(static_cast<pid_t>(pid), all);
  }
  ::setpgid(0, 0);
  if (terminal) ::tcsetpgrp(STDIN_FILENO, static_cast<pid_t>(::syscall(SYS_getpid)));
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return 0;
}

}  // namespace tether
