// Files in and out of the container as tar streams (`docker cp`): the program of a session that is
// the agent's own. It runs in the container's mount namespace and in none of its others, so that
// nothing in there can see or trace it; whatever a member or a symbolic link is called, it stays in
// that namespace.
#pragma once

#include "protocol/container_vm.pb.h"

namespace tether {

// Does what is wanted with descriptors 0 and 1, says on 2 what failed, a line each. Gives the exit
// code: 0, or 1 when something is missing or was left out. The caller's root is the container's.
int run_archive(const ::tether::v1::Archive& wanted);

}  // namespace tether
