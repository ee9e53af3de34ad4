// A second look at the raw headers of one tar member, for what libarchive hides.
#pragma once

#include <string_view>

namespace vch {

// `headers` are the blocks of one member up to its content: pax or GNU extensions, then its own.
// Whether an extension holds a name or link target with a NUL inside.
bool has_nul_in_name(std::string_view headers);

}  // namespace vch
