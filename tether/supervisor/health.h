// Docker's health check as a state machine without clock or process: what to do next, and what the
// container's health is.
#pragma once

#include <cstdint>

#include "protocol/journal.h"

namespace tether {

struct HealthPolicy {
  uint64_t interval_ms = 30000;
  uint64_t timeout_ms = 30000;
  uint64_t start_period_ms = 0;
  uint32_t retries = 3;
};

class HealthMonitor {
 public:
  HealthMonitor(HealthPolicy policy, uint64_t started_ms)
      : policy_(policy), started_ms_(started_ms), next_probe_ms_(started_ms + policy.interval_ms) {}

  enum class Action { kNone, kStartProbe, kKillProbe };
  // What is due at this time. kStartProbe and kKillProbe are given once each.
  Action on_time(uint64_t now_ms);
  // When on_time wants to be called again; ~0: when the probe has ended.
  uint64_t next_deadline_ms() const;
  // The probe ended (or could not start: any code but 0). True when health() changed.
  bool on_probe_end(uint64_t now_ms, int exit_code);

  protocol::Health health() const { return health_; }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  HealthPolicy policy_;
  uint64_t started_ms_;
  uint64_t next_probe_ms_;
  uint64_t probe_deadline_ms_ = 0;
  bool probing_ = false;
  bool killed_ = false;
  uint32_t failures_ = 0;
  protocol::Health health_ = protocol::Health::kStarting;
};

}  // namespace tether
