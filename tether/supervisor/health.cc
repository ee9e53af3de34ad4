#include "tether/supervisor/health.h"

namespace tether {

using protocol::Health;

namespace {
// From one kill of a probe to the next: it may not have had a process, or not one of its own group.
constexpr uint64_t kAgainMs = 1000;
}  // namespace

HealthMonitor::Action HealthMonitor::on_time(uint64_t now_ms) {
  if (!probing_ && now_ms >= next_probe_ms_) {
    probing_ = true;
    killed_ = false;
    probe_deadline_ms_ = now_ms + policy_.timeout_ms;
    return Action::kStartProbe;
  }
  if (probing_ && now_ms >= probe_deadline_ms_) {
    killed_ = true;
    probe_deadline_ms_ = now_ms + kAgainMs;
    return Action::kKillProbe;
  }
  return Action::kNone;
}

uint64_t HealthMonitor::next_deadline_ms() const {
  return probing_ ? probe_deadline_ms_ : next_probe_ms_;
}

bool HealthMonitor::on_probe_end(uint64_t now_ms, int exit_code) {
  if (!probing_) return false;
  probing_ = false;
  next_probe_ms_ = now_ms + policy_.interval_ms;
  const Health before = health_;
  if (exit_code == 0 && !killed_) {
    failures_ = 0;
    health_ = Health::kHealthy;
  } else if (health_ != Health::kStarting || now_ms >= started_ms_ + policy_.start_period_ms) {
    if (++failures_ >= policy_.retries) health_ = Health::kUnhealthy;
  }
  return health_ != before;
}

}  // namespace tether
