#include "vch/interaction/host_terminal.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::Status;

constexpr std::array<int, 5> kCrashes = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

constexpr char kDone = 'd';  // to the guardian: nothing is left to restore

// What a crash restores.
volatile sig_atomic_t crash_fd = -1;
volatile sig_atomic_t crash_guardian = -1;
termios crash_settings{};
std::array<struct sigaction, kCrashes.size()> crash_before{};

extern "C" void restore_in_crash(int number) {
  const int error = errno;
  if (crash_fd >= 0) ::tcsetattr(crash_fd, TCSANOW, &crash_settings);
  // Else it might come too late and take the terminal from whoever uses it next.
  if (crash_guardian >= 0) (void)!::write(crash_guardian, &kDone, 1);
  errno = error;
  ::raise(number);  // As it would have been: SA_RESETHAND is set.
}

void watch_crashes(int fd, const termios& settings) {
  crash_settings = settings;
  crash_fd = fd;
  struct sigaction action {};
  action.sa_handler = restore_in_crash;
  action.sa_flags = SA_RESETHAND;
  for (size_t i = 0; i < kCrashes.size(); ++i) {
    ::sigaction(kCrashes[i], &action, &crash_before[i]);
  }
}

void forget_crashes() {
  crash_fd = -1;
  crash_guardian = -1;
  for (size_t i = 0; i < kCrashes.size(); ++i) ::sigaction(kCrashes[i], &crash_before[i], nullptr);
}

// Of what line editors change; drivers have their own mind about c_cflag.
bool same_settings(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_lflag == b.c_lflag &&
         std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

// Of a session of its own, so that neither the terminal's signals nor those for our process group
// reach it, and the terminal may be set from outside its foreground.
[[noreturn]] void guard(int terminal, int pipe, const termios& saved, const termios& raw) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::setsid();
  ::prctl(PR_SET_NAME, "vch-terminal");
  // Nothing else stays open: whoever waits for the end of our output does not wait for the
  // guardian.
  const int own_terminal = ::fcntl(terminal, F_DUPFD, 3);
  const int own_pipe = ::fcntl(pipe, F_DUPFD, 3);
  ::dup2(own_terminal, 0);
  ::dup2(own_pipe, 1);
  ::close_range(2, ~0U, 0);
  char word = 0;
  ssize_t size = 0;
  do {
    size = ::read(1, &word, 1);
  } while (size < 0 && errno == EINTR);
  termios now{};
  // A shell that was quicker than we has set what it wants.
  if (size == 0 && ::tcgetattr(0, &now) == 0 && same_settings(now, raw)) {
    ::tcsetattr(0, TCSANOW, &saved);
  }
  ::_exit(0);
}

}  // namespace

WindowSize window_size(int output, int input) {
  for (const int fd : {output, input}) {
    winsize size{};
    if (fd >= 0 && ::ioctl(fd, TIOCGWINSZ, &size) == 0) return {size.ws_row, size.ws_col};
  }
  return {};
}

Result<HostTerminal> HostTerminal::take(int fd) {
  HostTerminal terminal;
  if (::tcgetattr(fd, &terminal.saved_) != 0) return errno_error("get the settings of", "terminal");
  terminal.raw_ = terminal.saved_;
  ::cfmakeraw(&terminal.raw_);
  terminal.raw_.c_cc[VMIN] = 1;
  terminal.raw_.c_cc[VTIME] = 0;
  // Before the first change, so that there is no moment without somebody who undoes it.
  terminal.fd_ = fd;
  watch_crashes(fd, terminal.saved_);
  RETURN_IF_ERROR(terminal.start_guardian());
  if (::tcsetattr(fd, TCSANOW, &terminal.raw_) != 0) return errno_error("set", "terminal");
  return terminal;
}

Status HostTerminal::start_guardian() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  const common::UniqueFd reading(ends[0]);
  guardian_.reset(ends[1]);
  crash_guardian = ends[1];
  guardian_pid_ = ::fork();
  if (guardian_pid_ < 0) return errno_error("fork", "guardian of the terminal");
  if (guardian_pid_ == 0) {
    ::close(guardian_.release());
    guard(fd_, reading.get(), saved_, raw_);
  }
  return {};
}

HostTerminal::HostTerminal(HostTerminal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      saved_(other.saved_),
      raw_(other.raw_),
      guardian_(std::move(other.guardian_)),
      guardian_pid_(std::exchange(other.guardian_pid_, -1)) {}

HostTerminal::~HostTerminal() {
  if (fd_ < 0) return;
  leave();
  forget_crashes();
  if (guardian_pid_ <= 0) return;
  (void)!::write(guardian_.get(), &kDone, 1);
  guardian_.reset();
  while (::waitpid(guardian_pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void HostTerminal::leave() { ::tcsetattr(fd_, TCSANOW, &saved_); }

void HostTerminal::enter() { ::tcsetattr(fd_, TCSANOW, &raw_); }

}  // namespace vch
