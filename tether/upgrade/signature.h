// Whether a program is the one that the configuration's key has signed: ECDSA on P-256 over its
// SHA-256, as `openssl dgst -sha256 -sign key.pem` makes it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "common/result.h"

namespace tether {

// `key`: protocol::kUpgradeKeySize bytes, a SubjectPublicKeyInfo; `signature`: DER. Reads `size`
// bytes of the file `fd` from its beginning. EKEYREJECTED: it is not; EINVAL: the key is none.
common::Status verify_file(std::string_view key, std::string_view signature, int fd, uint64_t size);

}  // namespace tether
