// The bytes that are sent and checked everywhere: without a repetition that a frame's or a buffer's
// size could hide.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace serial_transport {

class Pattern {
 public:
  static constexpr size_t kPeriod = 1000003;  // a prime

  Pattern() : bytes_(kPeriod) {
    uint64_t state = 42;
    for (std::byte& byte : bytes_) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      byte = static_cast<std::byte>(state >> 56U);
    }
  }
  // What stands at `offset`, at most `most` bytes of it and at least one.
  std::span<const std::byte> at(uint64_t offset, uint64_t most) const {
    const auto whole = std::span(bytes_).subspan(offset % kPeriod);
    return whole.first(static_cast<size_t>(std::min<uint64_t>(whole.size(), most)));
  }
  bool stands_at(uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto expected = at(offset, bytes.size());
      if (std::memcmp(expected.data(), bytes.data(), expected.size()) != 0) return false;
      offset += expected.size();
      bytes = bytes.subspan(expected.size());
    }
    return true;
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace serial_transport
