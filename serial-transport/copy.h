// Copies of bulk data.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace serial_transport {

// From 2 KiB on glibc's memcpy is a single `rep movsb`, which an emulated processor executes byte
// by byte: 0.4 GB/s instead of the 2.7 of pieces below that. Hardware does not mind the pieces.
inline constexpr size_t kCopyPiece = 1024;

// Not inline: whoever is built for size would make `rep movsb` of it again.
void copy_bytes(std::byte* to, std::span<const std::byte> from);
void append_bytes(std::string& to, std::string_view from);

inline void append_bytes(std::vector<std::byte>& to, std::span<const std::byte> from) {
  while (!from.empty()) {
    const auto piece = from.first(std::min(from.size(), kCopyPiece));
    to.insert(to.end(), piece.begin(), piece.end());
    from = from.subspan(piece.size());
  }
}

}  // namespace serial_transport
