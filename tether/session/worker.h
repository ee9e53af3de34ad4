// What a launcher's clone does to become a session's process.
#pragma once

#include <sys/types.h>

#include "common/unique_fd.h"
#include "protocol/container_vm.pb.h"
#include "tether/boot/boot.h"

namespace tether {

// Of a launch specification, whose descriptor may be shared: by position.
StageResult<protocol::pb::LaunchSpec> read_spec(int fd);

// Whether a launcher that is sealed beforehand is one for it.
bool may_be_sealed(const protocol::pb::LaunchSpec& spec);

// Moves a launcher to where its sessions live: into the namespaces of the process that `join` is,
// its children into the pid namespace too; without one, into new ones. `later`:
// join_namespaces()'s.
StageResult<void> enter_namespaces(const protocol::pb::LaunchSpec& spec,
                                   const common::UniqueFd& join, bool later);

// The caller is the session's process, with its status and stdio in their places and no memory or
// descriptor that is not for it; `self`: its pid in PID 1's namespace; `fresh`: the first one of
// new namespaces; `busybox`: the program of a debug shell. Tells PID 1 that it has begun, then
// executes the program, or says why not, and exits.
[[noreturn]] void run_session(const protocol::pb::LaunchSpec& spec, pid_t self, int busybox,
                              bool fresh);
// The same by kLaunchSpecFd, in namespaces that were joined, but for the cgroup namespace, which is
// that of the process at kLaunchJoinFd.
[[noreturn]] void run_spec(pid_t self);

}  // namespace tether
