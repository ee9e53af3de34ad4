// Where a session's process goes in a container that keeps house in its own control groups. An init
// such as systemd moves everything into groups below the container's and hands controllers down to
// them. The kernel refuses that as long as a process is in the upper one, and once it is done lets
// none into it (EBUSY; there runc does the same).
#pragma once

#include <sys/types.h>

#include "common/unique_fd.h"

namespace tether {

// /proc/PID/cgroup, whose content is what it is when it is read; none when there is no such
// process. Allocates nothing.
common::UniqueFd open_cgroup_file(pid_t pid);

// The pid behind a pidfd, as this process's /proc tells it; 0: none any more.
pid_t pid_of(int pidfd);

// The group that `cgroup_file` names, which must be below "/container" for a reader in the first
// cgroup namespace, found below `group`, that very group; an O_PATH descriptor. None: it lies
// elsewhere, or is gone. Allocates nothing.
common::UniqueFd open_nested_group(int group, int cgroup_file);

}  // namespace tether
