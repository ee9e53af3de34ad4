// Base 64 as RFC 4648 has it, and fingerprints of keys.
#pragma once

#include <string>
#include <string_view>

namespace vch {

std::string to_base64(std::string_view bytes);
// "SHA256:..." of a digest, as OpenSSH shows it.
std::string fingerprint_text(std::string_view sha256);

}  // namespace vch
