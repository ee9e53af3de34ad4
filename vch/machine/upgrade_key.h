// Keys by which a container's agent lets itself be replaced: ECDSA on P-256. A container has a pair
// of its own, whose private half lies in its directory, or its operator's public one.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

// In a container's directory: the private half, PEM, mode 0600.
inline constexpr const char* kUpgradeKeyFile = "upgrade.key";

struct UpgradeKey {
  std::string public_der;   // for ContainerVm.upgrade_key
  std::string private_pem;  // as `openssl ecparam -genkey` makes it
};
common::Result<UpgradeKey> make_upgrade_key();

// A file of `openssl ec -pubout`, for ContainerVm.upgrade_key. EINVAL: no public key on P-256.
common::Result<std::string> read_public_key(const std::string& path);

// As `openssl dgst -sha256 -sign`. EINVAL: no private key on P-256.
common::Result<std::string> sign_agent(std::string_view agent, const std::string& private_pem);

}  // namespace vch
