// The machine's watchdog device: a machine whose agent does not feed it for a while is one in which
// nothing goes on.
#pragma once

#include <cstdint>

#include "common/unique_fd.h"

namespace tether {

inline constexpr int kWatchdogSeconds = 30;
inline constexpr uint64_t kWatchdogFeedMs =
    5000;  // a host may let us wait for five sixths of the time

// Its time runs from here on, and nobody else can open it. None: the machine has no such device, or
// one that does not know as much time as that.
common::UniqueFd open_watchdog();

// It has kWatchdogSeconds again. Never blocks.
void feed_watchdog(int watchdog);

// Its time runs no more.
void stop_watchdog(common::UniqueFd& watchdog);

}  // namespace tether
