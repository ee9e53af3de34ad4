#include "tether/session/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "tether/session/archive.h"
#include "tether/session/container_init.h"
#include "tether/session/container_mounts.h"
#include "tether/session/privileges.h"
#include "tether/session/report.h"
#include "tether/session/resolve.h"
#include "tether/session/sftp/sftp.h"

namespace tether {
namespace {

using protocol::Stage;

[[noreturn]] void die(Stage stage, int errno_value, const char* object) {
  report_failure(stage, errno_value, object);
  ::_exit(125);
}

void check(bool worked, Stage stage, const char* object) {
  if (!worked) die(stage, errno, object);
}

void take_terminal(int slave) {
  for (int fd = 0; fd < 3; ++fd) check(::dup2(slave, fd) >= 0, Stage::kStdio, "terminal");
  check(::ioctl(0, TIOCSCTTY, 0) == 0, Stage::kStdio, "controlling terminal");
}

}  // namespace

void run_session_child(const ChildPlan& plan) {
  check(::setsid() >= 0, Stage::kStdio, "session");
  if (plan.terminal >= 0) take_terminal(plan.terminal);
  if (plan.new_namespaces) {
    const ProcFailure proc = mount_proc(plan.proc);
    if (proc.errno_value != 0) die(Stage::kNamespaces, proc.errno_value, proc.object);
  }
  if (plan.read_only_root) {
    const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
    check(::mount(nullptr, "/", nullptr, flags, nullptr) == 0, Stage::kMountRoot, "/");
  }
  if (const int failed = limit_bounding_set(plan.confinement.capabilities); failed != 0) {
    die(Stage::kCapabilities, failed, "bounding set");
  }
  if (const int failed = become_confined_user(plan.user, plan.confinement); failed != 0) {
    die(Stage::kUser, failed, "setuid");
  }
  const uint64_t kept = user_capabilities(plan.user, plan.confinement);
  if (plan.archive != nullptr || plan.sftp || plan.name != nullptr) {  // Nothing is executed.
    if (set_capabilities(kept) != 0) die(Stage::kCapabilities, errno, "capabilities");
  }
  if (plan.archive != nullptr) {
    // The end of file on the launcher's report says that it has begun.
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    ::_exit(run_archive(*plan.archive));
  }
  if (plan.sftp) {
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    ::_exit(run_sftp(plan.user.home, plan.draft_symlinks));
  }
  if (plan.name != nullptr) {
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    ::_exit(run_resolve(plan.name));
  }
  // Root may have been unable to enter what is the user's alone, and the other way round.
  if (::chdir(plan.working_dir.c_str()) != 0 && errno != EACCES) {
    die(Stage::kWorkingDirectory, errno, plan.working_dir.c_str());
  }
  ::umask(022);
  if (plan.init) {
    if (const int failed = split_off_init(plan.terminal >= 0, kept); failed != 0) {
      die(Stage::kExec, failed, "init");
    }
  }
  if (const int failed = seal(plan.confinement); failed != 0) {
    die(Stage::kCapabilities, failed, "seccomp filter");
  }
  if (plan.program_fd >= 0) {
    ::syscall(SYS_execveat, plan.program_fd, "", plan.argv.data(), plan.envp.data(), AT_EMPTY_PATH);
  } else {
    ::execve(plan.program.c_str(), plan.argv.data(), plan.envp.data());
  }
  die(Stage::kExec, errno, plan.argv[0]);
}

}  // namespace tether
