// Where a session lives: in namespaces of its own, or in those of another session.
#pragma once

#include <sys/types.h>

#include <string>

#include "protocol/container_vm.pb.h"
#include "tether/boot/boot.h"

namespace tether {

// Moves the caller into new mount, ipc, uts and cgroup namespaces, its root being kContainerRoot
// with /dev and /sys as such a container has them, and nothing of the agent's tree below or beside
// it. The network is the machine's own. /proc is left to the first process of the pid namespace.
StageResult<void> enter_new_namespaces(const std::string& hostname,
                                       const ::tether::v1::Sandbox& sandbox);

// Moves the caller into the namespaces of the process, its children into its pid namespace. With
// `later`, not into the cgroup namespace: from in there no child can be cloned into a group that is
// not the caller's own.
StageResult<void> join_namespaces(const common::UniqueFd& pidfd, bool later);
StageResult<void> join_cgroup_namespace(const common::UniqueFd& pidfd);

}  // namespace tether
