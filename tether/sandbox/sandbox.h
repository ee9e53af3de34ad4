// What a process of the agent's gives up before it looks at anything from outside.
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <span>

#include "common/result.h"

namespace tether {

// A user of a range that no image uses; logins have 0x70000000 + pid.
inline constexpr uid_t kLinkUser = 0x6fff0000;

struct Sandbox {
  uid_t user = 0;            // and its group; no others
  rlim_t descriptors = 0;    // the highest number and one
  rlim_t file_size = 0;      // of memory files, bytes
  rlim_t data = 0;           // private memory, bytes
  rlim_t address_space = 0;  // bytes; with what is mapped of others
  bool own_network = false;  // a network namespace with nothing in it, not even loopback
};

// The caller, which has one thread and is root, becomes that user: without capabilities (permitted,
// inheritable, ambient, bounding), for good (no_new_privs); its root is an empty directory that it
// cannot write to; it starts no process, dumps no core, and nobody but root can look into it.
// Descriptors are left as they are. When it fails the caller has to end.
common::Status enter_sandbox(const Sandbox& sandbox);

// The link process's program (tether/sandbox/link_calls.json), made at build time.
std::span<const sock_filter> link_filter();

// From now on a system call that `filter` does not allow is the end of the process, by SIGSYS.
// Before it the kernel's number of the call is sent to `report`, a SOCK_SEQPACKET, as a LinkHeader
// of kForbiddenCall. For good: nothing in a filter's list changes what SIGSYS does.
common::Status limit_calls(std::span<const sock_filter> filter, int report);

}  // namespace tether
