// What a session's process may do: Docker's default capabilities and generous limits. Everything
// here is async-signal-safe and gives 0 or an errno.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

namespace tether {

// The capabilities that stay in the bounding set, by bit.
uint64_t default_capabilities();
// What somebody who looks for a fault needs beside them: to trace, and to look at the network.
uint64_t debug_capabilities();

// Takes everything else out of the bounding set. Before the user changes.
int limit_bounding_set(uint64_t keep);

// Becomes the user; root keeps exactly `capabilities`, permitted and effective, anyone else none.
int become_user(uid_t uid, gid_t gid, std::span<const gid_t> groups, uint64_t capabilities);

// Becomes a user that keeps exactly `capabilities`, permitted and effective; needs PR_SET_KEEPCAPS.
int become_service(uid_t uid, uint64_t capabilities);

// Open files 1 Mi; core, locked memory and processes unlimited.
int raise_limits();

}  // namespace tether
