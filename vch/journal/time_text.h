// Times as people write them, by Docker's rules, and as `docker logs -t` shows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

// Nanoseconds since 1970 for `text`, which may be
//   a duration before `now_ns`: "10m", "1h30m", "1.5h", with ns, us, ms, s, m and h;
//   seconds since 1970: "1735689600", "1735689600.25";
//   RFC 3339, or a part of it: "2025-01-02", "2025-01-02T15:04", "2025-01-02T15:04:05.5", each with
//   "Z", "+01:00", or nothing, which means the local time zone.
// EINVAL for anything else, and for times that 64 bits of nanoseconds do not hold.
common::Result<int64_t> parse_time(std::string_view text, int64_t now_ns);

// "2025-01-02T15:04:05.000000000Z": always UTC, always nine digits.
std::string format_time(int64_t ns);

}  // namespace vch
