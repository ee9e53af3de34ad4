// Users and capabilities of processes. Everything here is async-signal-safe and gives 0 or an
// errno.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

namespace tether {

// By bit: what somebody who looks for a fault needs beside the container's: to trace, and to look
// at the network.
uint64_t debug_capabilities();

// Takes everything else out of the bounding set. Before the user changes.
int limit_bounding_set(uint64_t keep);

// Permitted and effective, and none inheritable.
int set_capabilities(uint64_t capabilities);

// Becomes a user that has exactly `capabilities`. Nobody but root can without PR_SET_KEEPCAPS.
int become_user(uid_t uid, gid_t gid, std::span<const gid_t> groups, uint64_t capabilities);

// The same, in its own group alone.
int become_service(uid_t uid, uint64_t capabilities);

}  // namespace tether
