// What a session's process may do: capabilities, no_new_privileges and a seccomp filter, taken
// together because their order is the kernel's. All but plan_confinement() is async-signal-safe.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/container_vm.pb.h"
#include "tether/session/users.h"

namespace tether {

struct Confinement {
  uint64_t capabilities = 0;  // by bit: what stays in the bounding set, and root has
  bool no_new_privileges = false;
  std::span<const sock_filter> filter;  // empty: none. Of the agent's own, or `own_filter`
  std::vector<sock_filter> own_filter;
  bool watchful = false;  // its capabilities reach beyond its own processes: see seal()
};

// What a Sandbox says. The default filter is the agent's own (vch/machine/seccomp_default.json).
Confinement plan_confinement(const ::tether::v1::Sandbox& sandbox);

// Becomes the user. Root has the plan's capabilities and anybody else none, but for CAP_SYS_ADMIN
// where seal() needs it; execve takes that away, since the bounding set does not have it. 0 or an
// errno.
int become_confined_user(const User& user, const Confinement& plan);

// Whether its sessions may have their filter beforehand: it is the agent's own, and none of them
// can trace others.
bool is_sealable(const ::tether::v1::Sandbox& sandbox);

// Gives this process, and so all that it will clone, the agent's own filter once and for all: an
// exec then need not install it, which costs as much as an execve. What a launcher itself has to do
// goes by call_past_seal(): the filter lets it through for a secret word in an argument that the
// kernel does not look at. 0 or an errno.
int seal_beforehand();
bool is_sealed();
// clone3(2) or setns(2), sealed or not. As syscall(2).
long call_past_seal(long number, long first, long second);

// The capabilities of one who executes nothing: without what become_confined_user() has kept.
uint64_t user_capabilities(const User& user, const Confinement& plan);

// no_new_privileges, and the filter: what comes behind it must be allowed by it. Who is `watchful`
// has another one before it, which refuses perf events of whole processors. 0 or an errno.
int seal(const Confinement& plan);

}  // namespace tether
