// For tests: a wall clock that moves when it is told to.
#pragma once

#include "tether/supervisor/wall_clock.h"

namespace tether {

class FakeClock : public WallClock {
 public:
  uint64_t now_ns() override { return now; }
  bool step(int64_t add_ns) override {
    if (stuck) return false;
    ++steps;
    now += static_cast<uint64_t>(add_ns);
    return true;
  }

  uint64_t now = 1700000000000000000;
  int steps = 0;
  bool stuck = false;
};

}  // namespace tether
