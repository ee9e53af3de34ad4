// Little-endian numbers inside a file's content, and the filling up of it.
#pragma once

#include <cstdint>
#include <string>
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

// The bytes of a number, lowest first.
template <typename T>
std::string le_bytes(T value) {
  std::string out(sizeof(T), '\0');
  for (size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
  return out;
}

// Overwrites what is at `offset`; `bytes` must reach that far.
template <typename T>
void put_le(std::string& bytes, size_t offset, T value) {
  bytes.replace(offset, sizeof(T), le_bytes(value));
}

constexpr size_t round_up(size_t size, size_t step) { return (size + step - 1) / step * step; }

// Zeros up to a multiple of `step`.
inline void fill_up(std::string& bytes, size_t step) { bytes.resize(round_up(bytes.size(), step)); }

}  // namespace iso_builder
