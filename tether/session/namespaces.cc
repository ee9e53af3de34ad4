#include "tether/session/namespaces.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tether/boot/boot_table.h"
#include "tether/session/confinement.h"
#include "tether/session/container_mounts.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr int kOwn = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;  // but for pid

StageError failure(const char* operation, std::string object) {
  return {Stage::kNamespaces, common::errno_error(operation, std::move(object))};
}

}  // namespace

StageResult<void> enter_new_namespaces(const std::string& hostname,
                                       const protocol::pb::Sandbox& sandbox) {
  const int shared = sandbox.host_cgroup_namespace() ? CLONE_NEWCGROUP : 0;
  if (::unshare(kOwn & ~shared) != 0) return failure("unshare", "namespaces");
  std::vector<BootRow> devices;
  if (sandbox.privileged()) devices = machine_devices();
  if (::sethostname(hostname.data(), hostname.size()) != 0) {
    return failure("set hostname", hostname);
  }
  // What the agent mounts later, a volume that was plugged in, arrives; nothing goes the other way.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return failure("make private", "mounts");
  }
  // The old root lands on the new one and is then taken away, with everything below it.
  if (::chdir(kContainerRoot) != 0) return failure("enter", kContainerRoot);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return failure("pivot_root", kContainerRoot);
  if (::umount2(".", MNT_DETACH) != 0) return failure("unmount", "the agent's root");
  if (::chdir("/") != 0) return failure("enter", "/");
  return run_rows(container_rows(sandbox, devices), real_system());
}

StageResult<void> join_namespaces(const common::UniqueFd& pidfd, bool later) {
  const int which = kOwn | CLONE_NEWPID;
  if (::setns(pidfd.get(), later ? which & ~CLONE_NEWCGROUP : which) != 0) {
    return failure("join", "namespaces");
  }
  if (::chdir("/") != 0) return failure("enter", "/");
  return {};
}

StageResult<void> join_cgroup_namespace(const common::UniqueFd& pidfd) {
  if (call_past_seal(SYS_setns, pidfd.get(), CLONE_NEWCGROUP) != 0) {
    return failure("join", "cgroup namespace");
  }
  return {};
}

}  // namespace tether
