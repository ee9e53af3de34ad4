#include "tether/supervisor/health.h"

namespace tether {

using protocol::Health;

HealthMonitor::Action HealthMonitor::on_time(uint64_t now_ms) {
  if (!probing_ && now_ms >= next_probe_ms_) {
    probing_ = true;
    killed_ = false;
    probe_deadline_ms_ = now_ms + policy_.timeout_ms;
    return Action::kStartProbe;
  }
  if (probing_ && !killed_ && now_ms >= probe_deadline_ms_) {
    killed_ = true;
    return Action::kKillProbe;
  }
  return Action::kNone;
}

uint64_t HealthMonitor::next_deadline_ms() const {
  if (!probing_) return next_probe_ms_;
  return killed_ ? ~uint64_t{0} : probe_deadline_ms_;
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
