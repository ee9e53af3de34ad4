// Little-endian numbers inside a file's content.
#pragma once

#include <cstdint>
#include <string_view>

namespace iso_builder {

// The number of `T`'s size at `offset`, or 0 where the content ends before it.
template <typename T>
T little_endian(std::string_view bytes, size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return 0;
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[offset + i])) << 8 * i);
  }
  return value;
}

}  // namespace iso_builder
