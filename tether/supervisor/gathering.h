// When to let bytes gather: who writes little at a time, without a pause, a process its output or
// the link process somebody's stdin, costs a switch of processes for each write, 1 ms on a slow
// machine, if its every write interrupts it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tether {

class Gathering {
 public:
  static constexpr uint32_t kInARow = 8;
  static constexpr uint64_t kDenseMs = 3;
  static constexpr uint64_t kPauseMs = 20;  // the next keystroke takes longer
  static constexpr size_t kBulk = 16 * 1024;
  static constexpr uint64_t kBulkMs = 100;  // of one that says much each time

  // Some came. True: whoever writes is not to be interrupted by more of it.
  bool on_bytes(uint64_t now_ms, size_t size) {
    const uint64_t since = now_ms - last_ms_;
    const bool bulk = size >= kBulk;
    last_ms_ = now_ms;
    in_a_row_ = since <= (bulk ? kBulkMs : kDenseMs) ? in_a_row_ + 1 : 0;
    if (since > (bulk ? kBulkMs : kPauseMs)) gathers_ = false;
    if (in_a_row_ >= kInARow) gathers_ = true;
    return gathers_;
  }

 private:
  uint64_t last_ms_ = 0;
  uint32_t in_a_row_ = 0;
  bool gathers_ = false;
};

}  // namespace tether
