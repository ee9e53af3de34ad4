// The keys of the configuration, as the library has them.
#pragma once

#include <libssh/libssh.h>

#include <memory>
#include <string>
#include <vector>

#include "common/result.h"

namespace tether {

struct SshKeyDeleter {
  void operator()(ssh_key key) const { ssh_key_free(key); }
};
using SshKey = std::unique_ptr<std::remove_pointer_t<ssh_key>, SshKeyDeleter>;

// An Ed25519 key as OpenSSH writes it.
common::Result<SshKey> parse_host_key(const std::string& text);
// One key a line: type, base64, and whatever. Others are passed over.
std::vector<SshKey> parse_authorized_keys(const std::string& text);
// "SHA256:..." as OpenSSH shows it.
std::string fingerprint(ssh_key key);

}  // namespace tether
