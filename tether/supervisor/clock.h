#pragma once

#include <time.h>

#include <cstdint>

namespace tether {

inline uint64_t now_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000U + static_cast<uint64_t>(now.tv_nsec);
}
inline uint64_t now_ms() { return now_ns(CLOCK_BOOTTIME) / 1000000U; }

}  // namespace tether
