// Keys for SSH into containers: one pair of this host's, by which it logs in everywhere, and one of
// each container's, by which it is known. ssh-keygen makes them.
#pragma once

#include <string>

#include "common/result.h"
#include "protocol/config.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"

namespace vch {

// The file of this host's private key, ROOT/ssh/id_ed25519; the public one stands beside it. Made
// when missing. ENOENT: there is no ssh-keygen.
common::Result<std::string> host_identity(const StateDir& state);

// The file of the private key by which this host logs in to the control plane of secure links, made
// by add_ssh_keys().
std::string link_identity_file(const StateDir& state);

// A key of its own for a new container, whose public part goes to the description, and the right to
// log in for this host's; of secure links for its link key too. Where there is no ssh-keygen the
// container does without, unless its links are secure ones (ENOENT).
common::Status add_ssh_keys(const StateDir& state, ContainerSpec& spec,
                            protocol::pb::ContainerVm& config);

}  // namespace vch
