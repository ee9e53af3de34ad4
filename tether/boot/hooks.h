// Programs that the builder of the ISO has put into it (/tools/hooks/STAGE/NAME), and what else he
// gave: certificates, a configuration. See docs/iso.md.
#pragma once

#include <string>

#include "tether/boot/boot.h"

namespace tether {

inline constexpr const char* kHooks = "/tools/hooks/";
inline constexpr int kHookTimeoutMs = 30000;

// Runs the stage's programs one after the other, in the order of their names, each in a process
// group of its own that is gone afterwards; without any it costs one system call. The first that
// does not exit with 0 within `timeout_ms` ends it: ETIMEDOUT, or ECANCELED with how it ended. One
// whose name ends in ".wait" may take as long as it likes. Nothing else may be reaping.
common::Status run_hooks(const std::string& stage, const std::string& folder = kHooks,
                         int timeout_ms = kHookTimeoutMs);

// Whether there are any for the stage.
bool has_hooks(const char* stage, const std::string& folder = kHooks);

// Lets the container trust the certificates of /tools/authorities.pem, if there are any: appends
// them to each bundle that the image has, or makes /etc/ssl/certs/ca-certificates.crt. `root` is
// the container's root directory.
common::Status add_authorities(int root, const std::string& file = "/tools/authorities.pem");

}  // namespace tether
