// UTF-8, RFC 3629.
#pragma once

#include <cstddef>
#include <string_view>

namespace common {

// Length of the well-formed sequence at `i`, which is no ASCII, or 0. Overlong forms and surrogates
// count as ill-formed, and so does a character below `least`.
size_t utf8_length(std::string_view s, size_t i, unsigned least);
bool is_utf8(std::string_view text);

}  // namespace common
