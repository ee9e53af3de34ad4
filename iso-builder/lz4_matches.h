// A block in LZ4's format, rewritten so that it unpacks in fewer steps.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace iso_builder {

// `packed` is a block (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md) that unpacks to
// `raw`. The result does too; of its matches none is shorter than `least` bytes: what they stood
// for are literals. Each match costs who unpacks the same, however short it is.
std::string without_short_matches(std::string_view packed, std::string_view raw, size_t least);

}  // namespace iso_builder
