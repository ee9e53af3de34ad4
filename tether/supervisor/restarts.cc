#include "tether/supervisor/restarts.h"

#include <algorithm>

namespace tether {

std::optional<uint64_t> Restarts::on_end(int exit_code, uint64_t ran_ms) {
  if (!possible()) return std::nullopt;
  if (kind_ == Kind::kOnFailure) {
    if (exit_code == 0 || (max_retries_ != 0 && count_ >= max_retries_)) return std::nullopt;
  }
  if (ran_ms >= kSoundRunMs) delay_ms_ = 0;
  delay_ms_ = delay_ms_ == 0 ? kFirstDelayMs : std::min(delay_ms_ * 2, kLongestDelayMs);
  ++count_;
  return delay_ms_;
}

}  // namespace tether
