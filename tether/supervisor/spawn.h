// Executing our own binary again in another role, with exactly the descriptors that the role needs.
#pragma once

#include <sys/types.h>

#include <span>

namespace tether {

struct FdSlot {
  int from;  // in the caller
  int to;    // in the child
};

// Starts `/proc/self/exe` as "tether <role>" with the given descriptors and no others (0, 1, 2 are
// /dev/null unless given), default signals, in the cgroup whose directory descriptor is given (-1:
// the caller's). Returns the child's pid, or a negative errno. Allocates nothing.
pid_t spawn_role(const char* role, std::span<const FdSlot> fds, int cgroup_fd = -1);

}  // namespace tether
