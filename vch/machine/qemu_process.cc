#include "vch/machine/qemu_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Status;
using common::UniqueFd;

struct Plan {
  char* const* argv;
  const char* directory;
  int log;
  int null;
  const std::vector<UniqueFd>& inherited;
};

void default_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Between fork and exec: async-signal-safe calls alone. What failed goes to the pipe as an errno;
// success closes it.
[[noreturn]] void become_qemu(const Plan& plan, int report) {
  const auto give_up = [report] {
    const int error = errno;
    [[maybe_unused]] const ssize_t n = ::write(report, &error, sizeof error);
    ::_exit(127);
  };
  default_signals();
  ::umask(0077);
  if (::chdir(plan.directory) != 0) give_up();
  if (::dup2(plan.null, STDIN_FILENO) < 0 || ::dup2(plan.log, STDOUT_FILENO) < 0 ||
      ::dup2(plan.log, STDERR_FILENO) < 0) {
    give_up();
  }
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up();
  for (const UniqueFd& fd : plan.inherited) {
    if (::fcntl(fd.get(), F_SETFD, 0) != 0) give_up();
  }
  ::execv(plan.argv[0], plan.argv);
  give_up();
  ::_exit(127);
}

}  // namespace

Status spawn_qemu(const std::vector<std::string>& argv, const std::string& directory, int log,
                  const std::vector<UniqueFd>& inherited) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return errno_error("open", "/dev/null");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const Plan plan{words.data(), directory.c_str(), log, null.get(), inherited};
  const pid_t middle = ::fork();
  if (middle < 0) return errno_error("fork", argv[0]);
  if (middle == 0) {
    // A session without a terminal, and a parent that is gone: neither a hangup nor our end is any
    // concern of QEMU's.
    ::setsid();
    const pid_t child = ::fork();
    if (child == 0) become_qemu(plan, writing.get());
    const int error = errno;
    if (child < 0) {
      [[maybe_unused]] const ssize_t n = ::write(writing.get(), &error, sizeof error);
    }
    ::_exit(0);
  }
  writing.reset();
  while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
  }
  int error = 0;
  ssize_t n = 0;
  do {
    n = ::read(reading.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof error) return make_error(error, "execute", argv[0]);
  return {};
}

}  // namespace vch
