// gzip (RFC 1952, RFC 1951) for a configuration that is larger than its hypervisor likes: small
// rather than quick, so that the agent needs no library for it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tether {

// The content of one gzip member. EBADMSG when it is none, or its checksum is wrong; EFBIG beyond
// `limit` bytes.
common::Result<std::string> gunzip(std::string_view bytes, size_t limit);

// RFC 4648, blanks and line ends skipped, padding optional. EBADMSG for anything else.
common::Result<std::string> decode_base64(std::string_view text);

}  // namespace tether
