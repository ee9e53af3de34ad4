// Unpacks what tether-iso packed: the format of `lz4 -l`, which is the kernel's for an initramfs.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "common/result.h"

namespace tether {

// The content of the one block that `packed` holds, written to the beginning of `out`; gives its
// size. EILSEQ for anything else, for a block that is damaged, and for one that `out` cannot hold.
common::Result<size_t> unpack_lz4(std::string_view packed, std::span<char> out);

}  // namespace tether
