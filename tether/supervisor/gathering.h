// When to let output gather: a process that writes little at a time, without a pause, costs a
// switch of processes for each write, 1 ms on a slow machine, if its every write interrupts it.
#pragma once

#include <cstdint>

namespace tether {

class Gathering {
 public:
  static constexpr uint32_t kInARow = 8;
  static constexpr uint64_t kDenseMs = 3;
  static constexpr uint64_t kPauseMs = 20;  // the next keystroke takes longer

  // Some output came. True: whoever writes is not to be interrupted by more of it.
  bool on_output(uint64_t now_ms) {
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

// When to read one stream by the clock. A pipe that somebody polls runs through a wake-up at each
// write, an eighth of what a write of 64 bytes costs, and whether that interrupts the writer is up
// to the scheduler's mood. So who writes little at a time and much in all is read now and then.
class Pacing {
 public:
  static constexpr uint64_t kRestMs = 3;
  static constexpr uint64_t kLongMs = 10;   // it has gone on for so long
  static constexpr uint64_t kPauseMs = 10;  // without such a pause
  static constexpr uint64_t kLeast = 4 * 1024;
  // Half of a wide pipe: who writes more in a rest would come to wait for its end.
  static constexpr uint64_t kMost = 128 * 1024;
  static constexpr uint64_t kAnswerMs = 50;  // what follows input so soon is awaited by somebody

  // `bytes` of output came, `input_ms` is when the process was last given input (0: never). True:
  // look at it again in kRestMs, and not before.
  bool on_output(uint64_t now_ms, uint64_t bytes, uint64_t input_ms) {
    if (now_ms - last_ms_ > kPauseMs) begun_ms_ = now_ms;
    last_ms_ = now_ms;
    const bool answers = input_ms != 0 && now_ms - input_ms <= kAnswerMs;
    return now_ms - begun_ms_ >= kLongMs && bytes >= kLeast && bytes <= kMost && !answers;
  }

 private:
  uint64_t begun_ms_ = 0;
  uint64_t last_ms_ = 0;
};

}  // namespace tether
