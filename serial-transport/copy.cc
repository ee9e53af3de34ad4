#include "serial-transport/copy.h"

#include <cstring>

namespace serial_transport {

void copy_bytes(std::byte* to, std::span<const std::byte> from) {
  while (!from.empty()) {
    size_t size = std::min(from.size(), kCopyPiece);
    // A compiler that knows the bound makes `rep movsq` of it, which is slow on what is in no
    // cache.
    asm("" : "+r"(size));
    std::memcpy(to, from.data(), size);
    to += size;
    from = from.subspan(size);
  }
}

void append_bytes(std::string& to, std::string_view from) {
  for (; !from.empty(); from.remove_prefix(std::min(from.size(), kCopyPiece))) {
    to.append(from.substr(0, kCopyPiece));
  }
}

}  // namespace serial_transport
