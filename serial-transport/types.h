// The words that everything here shares.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace serial_transport {

using Time = std::chrono::nanoseconds;  // since any fixed moment

using ConnectionId = uint16_t;

// What goes first when the link is busy. None starves the others.
enum class TrafficClass : uint8_t { kControl = 0, kInteractive = 1, kBulk = 2 };

// Which end one is. A link has one of each: two of a kind do not talk.
enum class Role : uint8_t { kGuest = 1, kHost = 2 };

// Shared by both ends of a link; it never travels.
using Key = std::array<std::byte, 32>;

// What is known of a byte link.
struct LineTraits {
  bool can_corrupt = false;       // bytes may change under way, as on a UART: check payloads
  uint32_t bytes_per_second = 0;  // 0: so fast that its queues do not matter
  // A stream within another connection: while it is there it loses nothing, but nobody knows how
  // fast it is. So nothing is sent twice, and no more is given to it than it delivers soon.
  bool nested = false;
};

}  // namespace serial_transport
