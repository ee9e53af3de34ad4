// Executing our own binary again in another role, with exactly the descriptors that the role needs.
#pragma once

#include <sys/types.h>

#include <span>

#include "tether/boot/own_program.h"

namespace tether {

struct FdSlot {
  int from;  // in the caller
  int to;    // in the child
};

// Starts `program` as "tether <role>" with the given descriptors and no others (0, 1, 2 are
// /dev/null unless given), default signals, in the cgroup whose directory descriptor is given (-1:
// the caller's). Returns the child's pid, or a negative errno. Allocates nothing.
pid_t spawn_role(const char* role, std::span<const FdSlot> fds, int cgroup_fd = -1,
                 const char* program = kOwnProgram);

// /dev/null as roles get it for 0, 1 and 2: opened once, before there is a container, since a
// privileged one may later put something else there. The second is for a program that took
// another's place.
int role_null();
void use_role_null(int fd);

}  // namespace tether
