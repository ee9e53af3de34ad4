#include "vch/machine/qemu_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kCompanionTimeoutS = 10;
constexpr long kPauseNs = 1000000;

// Null-terminated, as execv wants them.
std::vector<char*> words_of(const std::vector<std::string>& argv) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  return words;
}

struct CompanionPlan {
  std::vector<char*> argv;
  sockaddr_un address{};
  int connection, kept, log;
};

struct Plan {
  std::vector<char*> argv;
  const char* directory;
  int log;
  int null;
  const std::vector<UniqueFd>& inherited;
  std::optional<CompanionPlan> companion;
};

// What goes through the pipe when something failed; success closes it.
struct Failure {
  int error;
  bool companion;
};

[[noreturn]] void give_up(int report, int error, bool companion) {
  const Failure failure{error, companion};
  [[maybe_unused]] const ssize_t n = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// Between fork and exec, from here on: async-signal-safe calls alone.
//
// What is blocked stays so through execve, and QEMU and its companion never look at it. QEMU would
// end at once at these, and its guest with everything that it has not written: whoever wants the
// machine to end tells its shim.
void set_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&blocked, number);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
}

bool redirect(int null, int log) {
  return ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(log, STDOUT_FILENO) >= 0 &&
         ::dup2(log, STDERR_FILENO) >= 0;
}

[[noreturn]] void become_companion(const CompanionPlan& plan, int null, pid_t parent, int report) {
  // Kept across exec. Whoever ended before it was asked for is no longer our parent.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(report, errno, true);
  if (::getppid() != parent) ::_exit(127);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !redirect(null, plan.log) ||
      ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0 || ::fcntl(plan.kept, F_SETFD, 0) != 0) {
    give_up(report, errno, true);
  }
  // It writes to its log what it is told to by the environment, and a guest may make it talk.
  char* const environment = nullptr;
  ::execve(plan.argv[0], plan.argv.data(), &environment);
  give_up(report, errno, true);
}

time_t seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void start_companion(const CompanionPlan& plan, int null, int report) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) give_up(report, errno, true);
  if (child == 0) become_companion(plan, null, parent, report);
  const time_t deadline = seconds() + kCompanionTimeoutS;
  const auto* address = reinterpret_cast<const sockaddr*>(&plan.address);
  while (::connect(plan.connection, address, sizeof plan.address) != 0) {
    if (errno != ENOENT && errno != ECONNREFUSED && errno != EINTR) give_up(report, errno, true);
    if (::waitpid(child, nullptr, WNOHANG) != 0) give_up(report, ECHILD, true);
    if (seconds() > deadline) give_up(report, ETIMEDOUT, true);
    const timespec pause{0, kPauseNs};
    ::nanosleep(&pause, nullptr);
  }
}

[[noreturn]] void become_qemu(const Plan& plan, int report) {
  set_signals();
  ::umask(0077);
  if (::chdir(plan.directory) != 0) give_up(report, errno, false);
  if (plan.companion) start_companion(*plan.companion, plan.null, report);
  if (!redirect(plan.null, plan.log) || ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    give_up(report, errno, false);
  }
  for (const UniqueFd& fd : plan.inherited) {
    if (::fcntl(fd.get(), F_SETFD, 0) != 0) give_up(report, errno, false);
  }
  ::execv(plan.argv[0], plan.argv.data());
  give_up(report, errno, false);
}

Result<CompanionPlan> plan_of(const Companion& companion) {
  CompanionPlan plan{
      words_of(companion.argv), {}, companion.connection, companion.kept, companion.log};
  plan.address.sun_family = AF_UNIX;
  if (companion.socket.size() >= sizeof plan.address.sun_path) {
    return make_error(ENAMETOOLONG, "use socket", companion.socket);
  }
  std::memcpy(plan.address.sun_path, companion.socket.c_str(), companion.socket.size() + 1);
  return plan;
}

// The first failure that somebody reported, before all of them closed the pipe.
Status wait_for_exec(const UniqueFd& reading, const std::vector<std::string>& argv,
                     const Companion* companion) {
  Failure failure{};
  ssize_t n = 0;
  do {
    n = ::read(reading.get(), &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof failure) return {};
  const bool others = failure.companion && companion != nullptr;
  return make_error(failure.error, "execute", others ? companion->argv[0] : argv[0]);
}

}  // namespace

Status spawn_qemu(const std::vector<std::string>& argv, const std::string& directory, int log,
                  const std::vector<UniqueFd>& inherited, const Companion* companion) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return errno_error("open", "/dev/null");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  Plan plan{words_of(argv), directory.c_str(), log, null.get(), inherited, {}};
  if (companion != nullptr) {
    ASSIGN_OR_RETURN(plan.companion, plan_of(*companion));
  }
  const pid_t middle = ::fork();
  if (middle < 0) return errno_error("fork", argv[0]);
  if (middle == 0) {
    // A session without a terminal, and a parent that is gone: neither a hangup nor our end is any
    // concern of QEMU's.
    ::setsid();
    const pid_t child = ::fork();
    if (child == 0) become_qemu(plan, writing.get());
    if (child < 0) give_up(writing.get(), errno, false);
    ::_exit(0);
  }
  writing.reset();
  while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
  }
  return wait_for_exec(reading, argv, companion);
}

}  // namespace vch
