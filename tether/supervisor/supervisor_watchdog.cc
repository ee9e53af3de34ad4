// A machine whose loop stands still is noticed from outside.
#include "tether/boot/hooks.h"
#include "tether/boot/watchdog.h"
#include "tether/supervisor/supervisor.h"

namespace tether {

void Supervisor::use_watchdog(common::UniqueFd watchdog) {
  watchdog_ = std::move(watchdog);
  feed();
}

void Supervisor::feed() {
  if (!watchdog_) return;
  feed_watchdog(watchdog_.get());
  feed_at_ms_ = system_.now_ms() + kWatchdogFeedMs;
}

// What is left to do takes less time than it gives, but for hooks, which may take any.
void Supervisor::feed_for_the_end() {
  feed();
  if (watchdog_ && has_hooks("stop")) stop_watchdog(watchdog_);
}

}  // namespace tether
