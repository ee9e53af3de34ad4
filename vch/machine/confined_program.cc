#include "vch/machine/confined_program.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "common/unique_fd.h"

namespace vch {
namespace {

using common::UniqueFd;

constexpr rlim_t kMemory = rlim_t{2} << 30U;
constexpr rlim_t kFiles = 64;
// All that the first version knows: what is not allowed below is refused.
constexpr uint64_t kHandled = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1U) - 1;
constexpr uint64_t kRead =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kFileAccess = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;

void allow(int rules, const char* path, uint64_t access) {
  const UniqueFd place(::open(path, O_PATH | O_CLOEXEC));
  if (!place) return;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = place.get();
  ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

// Made before the fork; none where the kernel has no such thing.
UniqueFd make_rules(const std::string& writable) {
  landlock_ruleset_attr handled{};
  handled.handled_access_fs = kHandled;
  UniqueFd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
  if (!rules) return rules;
  for (const char* path : {"/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc"}) {
    allow(rules.get(), path, kRead);
  }
  allow(rules.get(), "/dev/null", kFileAccess);
  // It looks whether the disk is mounted somewhere.
  allow(rules.get(), "/proc", LANDLOCK_ACCESS_FS_READ_FILE);
  allow(rules.get(), writable.c_str(), kFileAccess);
  return rules;
}

struct Plan {
  std::vector<char*> argv;
  int output = -1;
  int null = -1;
  int rules = -1;
  rlim_t seconds = 0;
};

void set_limit(__rlimit_resource which, rlim_t value) {
  const rlimit limit{value, value};
  ::setrlimit(which, &limit);
}

// Between fork and exec: async-signal-safe calls alone.
[[noreturn]] void become(const Plan& plan) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(127);
  ::dup2(plan.null, STDIN_FILENO);
  ::dup2(plan.output, STDOUT_FILENO);
  ::dup2(plan.output, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_AS, kMemory);
  set_limit(RLIMIT_NOFILE, kFiles);
  set_limit(RLIMIT_CPU, plan.seconds);
  if (plan.rules >= 0 && ::syscall(SYS_landlock_restrict_self, plan.rules, 0) != 0) ::_exit(127);
  char* const environment = nullptr;
  ::execve(plan.argv[0], plan.argv.data(), &environment);
  ::_exit(127);
}

}  // namespace

common::Result<ProgramEnd> run_confined(const std::vector<std::string>& argv,
                                        const std::string& writable, int timeout_ms) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return common::errno_error("open", "/dev/null");
  const UniqueFd rules = make_rules(writable);
  Plan plan;
  for (const std::string& word : argv) plan.argv.push_back(const_cast<char*>(word.c_str()));
  plan.argv.push_back(nullptr);
  plan.null = null.get();
  plan.rules = rules.get();
  plan.seconds = static_cast<rlim_t>(timeout_ms / 1000);
  return run_child(
      [&plan](int output) -> common::Result<int> {
        plan.output = output;
        const int pid = ::fork();
        if (pid < 0) return common::errno_error("fork", plan.argv[0]);
        if (pid == 0) become(plan);
        return pid;
      },
      timeout_ms);
}

}  // namespace vch
