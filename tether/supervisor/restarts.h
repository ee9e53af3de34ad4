// Docker's restart policy as a state machine without clock or process.
#pragma once

#include <cstdint>
#include <optional>

namespace tether {

class Restarts {
 public:
  enum class Kind : uint8_t { kNo, kOnFailure, kAlways };
  static constexpr uint64_t kFirstDelayMs = 100;
  static constexpr uint64_t kLongestDelayMs = 60000;
  static constexpr uint64_t kSoundRunMs = 10000;  // who ran so long starts with the first delay

  Restarts() = default;
  // `max_retries` is on-failure's; 0: no limit.
  Restarts(Kind kind, uint32_t max_retries) : kind_(kind), max_retries_(max_retries) {}

  // What becomes of the ends to come; how often it was started again stays counted.
  void change(Kind kind, uint32_t max_retries) {
    kind_ = kind;
    max_retries_ = max_retries;
  }
  // Somebody stopped it by hand: its next end is the last.
  void cancel() { cancelled_ = true; }
  // It may have another run after this one.
  bool possible() const { return kind_ != Kind::kNo && !cancelled_; }
  // A run has ended: how long to wait for the next one, or nothing when it was the last.
  std::optional<uint64_t> on_end(int exit_code, uint64_t ran_ms);
  uint32_t count() const { return count_; }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  Kind kind_ = Kind::kNo;
  uint32_t max_retries_ = 0;
  bool cancelled_ = false;
  uint32_t count_ = 0;
  uint64_t delay_ms_ = 0;
};

}  // namespace tether
