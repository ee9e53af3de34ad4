// Where a session lives: in namespaces of its own, or in those of another session.
#pragma once

#include <sys/types.h>

#include <string>

#include "tether/boot/boot.h"

namespace tether {

// Moves the caller into new mount, ipc, uts and cgroup namespaces, its root being kContainerRoot
// with /dev and /sys as a container has them, and nothing of the agent's tree below or beside it.
// The network is the machine's own. /proc is left to the first process of the pid namespace.
StageResult<void> enter_new_namespaces(const std::string& hostname);

// Moves the caller into the namespaces of the process, its children into its pid namespace.
StageResult<void> join_namespaces(const common::UniqueFd& pidfd);

}  // namespace tether
