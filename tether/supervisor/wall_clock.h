// The machine's wall clock, so that tests can have another.
#pragma once

#include <cstdint>

namespace tether {

class WallClock {
 public:
  virtual ~WallClock() = default;
  // Since 1970.
  virtual uint64_t now_ns() = 0;
  // Adds to it, in one step. False: it stays as it is.
  virtual bool step(int64_t add_ns) = 0;
};

WallClock& kernel_clock();

// For the clock as the kernel has set it: it takes the hardware clock's second for that second's
// middle, and may be ahead by half of it. Better behind: what has happened is then in the past for
// whoever asks from outside. The host makes it exact, once there is one.
inline constexpr int64_t kFirstStepNs = -500000000;

}  // namespace tether
