#include "tether/supervisor/wall_clock.h"

#include <sys/timex.h>

#include "tether/supervisor/clock.h"

namespace tether {
namespace {

constexpr int64_t kSecond = 1000000;

class KernelClock : public WallClock {
 public:
  uint64_t now_ns() override { return tether::now_ns(CLOCK_REALTIME); }
  bool step(int64_t add_ns) override {
    const int64_t add = add_ns / 1000;  // With ADJ_NANO everybody's adjtimex() would change.
    timex change{};
    change.modes = ADJ_SETOFFSET;
    change.time.tv_sec = add / kSecond;
    change.time.tv_usec = add % kSecond;
    if (change.time.tv_usec < 0) {
      --change.time.tv_sec;
      change.time.tv_usec += kSecond;
    }
    return ::clock_adjtime(CLOCK_REALTIME, &change) >= 0;
  }
};

}  // namespace

WallClock& kernel_clock() {
  static KernelClock clock;
  return clock;
}

}  // namespace tether
