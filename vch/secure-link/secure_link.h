// The host end of a secure link (docs/secure-link.md): one SSH login, by libssh2, whose channel is
// a byte link of the agent's control plane. It is a process of its own, since it parses what a line
// says on which anybody may be, with a library in C; all it has is descriptors.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

inline constexpr const char* kSecureLinkUser = "vch";
inline constexpr const char* kSecureLinkSubsystem = "tether";
inline constexpr const char* kSecureLinkCommand = "secure-link";  // argv[1] of the process

struct SecureLinkKeys {
  std::string host_key;     // of the containerVM, pinned: "ssh-ed25519 AAAA..."
  std::string private_key;  // this host's, as OpenSSH writes it
};

struct SecureLinkEnd {
  bool refused = false;  // by either end, and again at the next try; else the line was lost
  std::string why;
};

// The whole life of a login. `wire`: first a line "OK" or "ERROR <reason>" (vch/shim/shim.h), then
// the agent's `ssh` service. `plain`: what goes through the channel, until its other end is closed.
// Both are stream sockets. `on_up` is called when bytes can flow. Blocks.
SecureLinkEnd run_secure_link(int wire, int plain, const SecureLinkKeys& keys,
                              const std::function<void()>& on_up);

struct SecureLinkProcess {
  pid_t pid = -1;           // a child of the caller's, who reaps it
  common::UniqueFd report;  // lines "UP", then "REFUSED <why>" or "LOST <why>"; then the end
};
// Executes this program as "<program> secure-link". It dies with its parent.
common::Result<SecureLinkProcess> start_secure_link(common::UniqueFd wire, common::UniqueFd plain,
                                                    const SecureLinkKeys& keys);
// That process's main, for whoever has such a main(): its descriptors are as start_secure_link()
// made them.
int secure_link_main();

}  // namespace vch
