// Takes a fuzzer's bytes apart into decisions. When they run out, every decision is 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace serial_transport {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size)
      : rest_(reinterpret_cast<const std::byte*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = std::to_integer<uint8_t>(rest_[0]);
    rest_ = rest_.subspan(1);
    return value;
  }
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8U | byte();
    return value;
  }
  size_t below(size_t bound) { return bound == 0 ? 0 : number(bound > 256 ? 2 : 1) % bound; }
  std::span<const std::byte> bytes(size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::byte> rest_;
};

// What must hold, also in a build without assertions.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

}  // namespace serial_transport
