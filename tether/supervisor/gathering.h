// When to let bytes gather: who writes little at a time, without a pause, a process its output or
// the link process somebody's stdin, costs a switch of processes for each write, 1 ms on a slow
// machine, if its every write interrupts it.
#pragma once

#include <cstdint>

namespace tether {

class Gathering {
 public:
  static constexpr uint32_t kInARow = 8;
  static constexpr uint64_t kDenseMs = 3;
  static constexpr uint64_t kPauseMs = 20;  // the next keystroke takes longer

  // Some came. True: whoever writes is not to be interrupted by more of it.
  bool on_bytes(uint64_t now_ms) {
    const uint64_t since = now_ms - last_ms_;
    last_ms_ = now_ms;
    in_a_row_ = since <= kDenseMs ? in_a_row_ + 1 : 0;
    if (since > kPauseMs) gathers_ = false;
    if (in_a_row_ >= kInARow) gathers_ = true;
    return gathers_;
  }

 private:
  uint64_t last_ms_ = 0;
  uint32_t in_a_row_ = 0;
  bool gathers_ = false;
};

}  // namespace tether
