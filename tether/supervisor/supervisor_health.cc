// The health check: a probe is a session of its own in the primary's namespaces.
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <array>

#include "tether/supervisor/clock.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

uint64_t or_default(uint32_t value, uint64_t fallback) { return value == 0 ? fallback : value; }

}  // namespace

void Supervisor::run_health() {
  const bool running = primary_ != nullptr && primary_->state == SessionState::kRunning;
  if (running && !has_health_ && health_spec_) {
    const auto& wanted = boot_.config.health();
    health_ = HealthMonitor(
        {or_default(wanted.interval_ms(), 30000), or_default(wanted.timeout_ms(), 30000),
         wanted.start_period_ms(), wanted.retries() == 0 ? 3 : wanted.retries()},
        now_ms());
    has_health_ = true;
    protocol::JournalRecord record;
    record.kind = EventKind::kHealth;
    record.session = primary_->id;
    record.value = static_cast<uint32_t>(protocol::Health::kStarting);
    event(record);
  }
  if (!running) has_health_ = false;
  if (!has_health_) return;
  const auto action = health_.on_time(now_ms());
  if (action == HealthMonitor::Action::kKillProbe && probe_ != nullptr) {
    signal_session(*probe_, SIGKILL, true);
  }
  if (action != HealthMonitor::Action::kStartProbe) return;
  probe_ = add_session(Session::Kind::kHealth);
  const common::UniqueFd spec(probe_ == nullptr ? -1 : probe_spec());
  if (!spec || launch(*probe_, spec.get()) != 0) {
    health_.on_probe_end(now_ms(), 125);
    if (probe_ != nullptr) forget(*probe_);
    probe_ = nullptr;
  }
}

// The prepared specification with the primary's pid appended: a field behind a message is part of
// it (protobuf's merge rule), so that PID 1 needs no encoder here.
int Supervisor::probe_spec() {
  common::UniqueFd fd(::memfd_create("spec", MFD_CLOEXEC));
  if (!fd) return -1;
  off_t from = 0;
  if (::sendfile(fd.get(), health_spec_.get(), &from, health_spec_size_) !=
      static_cast<ssize_t>(health_spec_size_)) {
    return -1;
  }
  std::array<char, 8> field{};
  size_t size = 0;
  field[size++] = 2 << 3;  // LaunchSpec.join_pid, varint
  for (auto rest = static_cast<uint32_t>(primary_->pid);; rest >>= 7U) {
    field[size++] = static_cast<char>((rest & 0x7fU) | (rest > 0x7fU ? 0x80U : 0U));
    if (rest <= 0x7fU) break;
  }
  if (::write(fd.get(), field.data(), size) != static_cast<ssize_t>(size)) return -1;
  return fd.release();
}

}  // namespace tether
