// The health check: a probe is a session of its own in the primary's namespaces.
#include <signal.h>

#include "tether/session/confinement.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

uint64_t or_default(uint32_t value, uint64_t fallback) { return value == 0 ? fallback : value; }

}  // namespace

void Supervisor::run_health() {
  const bool running =
      primary_ != nullptr && primary_->state == SessionState::kRunning && !primary_->reaped;
  if (running && !has_health_ && health_spec_) {
    const auto& wanted = boot_.config.health();
    health_ = HealthMonitor(
        {or_default(wanted.interval_ms(), 30000), or_default(wanted.timeout_ms(), 30000),
         wanted.start_period_ms(), wanted.retries() == 0 ? 3 : wanted.retries()},
        system_.now_ms());
    has_health_ = true;
    protocol::JournalRecord record;
    record.kind = EventKind::kHealth;
    record.session = primary_->id;
    record.value = static_cast<uint32_t>(protocol::Health::kStarting);
    event(record);
  }
  if (!running) has_health_ = false;
  if (!has_health_ || paused()) return;
  const auto action = health_.on_time(system_.now_ms());
  if (action == HealthMonitor::Action::kKillProbe && probe_ != nullptr) {
    signal_session(*probe_, SIGKILL, SignalTo::kGroup);
    signal_session(*probe_, SIGKILL,
                   SignalTo::kProcess);  // which leads no group before it is executed
  }
  if (action != HealthMonitor::Action::kStartProbe) return;
  probe_ = sessions_.add(Session::Kind::kHealth);
  if (probe_ != nullptr) {
    probe_->discard = true;
    probe_->sealed = is_sealable(boot_.config.sandbox());
  }
  if (probe_ == nullptr || launch(*probe_, health_spec_.get()) != 0) {
    health_.on_probe_end(system_.now_ms(), 125);
    if (probe_ != nullptr) forget(*probe_);
    probe_ = nullptr;
  }
}

}  // namespace tether
