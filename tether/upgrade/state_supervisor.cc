// What of the supervisor itself outlives the program of PID 1.
#include <unistd.h>

#include "tether/supervisor/spawn.h"
#include "tether/upgrade/agent_state.h"
#include "tether/upgrade/state_fields.h"
#include "tether/version.h"

namespace tether {

// Whoever adds a field to the supervisor carries it below, or says why not, and then corrects this.
// Not carried: `epoll_`, `signals_`, `timer_`, `armed_ms_`, which are made anew; `feed_at_ms_`,
// since it is fed at once; `gathering_` and what follows from it, which begins anew;
// `spare_login_`, which ends as its sockets do; `spare_rings_`, which are empty; `rings_`, which is
// counted again; `helpers_`, `upgrade_` and `hand_over_`, of which nothing is in flight;
// `sweep_due_` and `held_back_`, false and nobody between turns; `introduce_at_ms_` and
// `quiet_count_`, since the next link process is told of every session at once.
static_assert(sizeof(Supervisor) == 58456);
static_assert(sizeof(BootConfig) == 248);
static_assert(sizeof(SpaceWatch) == 24 && sizeof(ThrashWatch) == 16);

common::Status StateFields::open(Supervisor& it) {
  it.limit_rings();
  return it.sessions_.open();
}

void StateFields::carry_all(Carry& carry, All& message, Supervisor& it) {
  common::UniqueFd null(carry.saving() ? role_null() : -1);
  TETHER_CARRY(null_fd, null);
  if (carry.loading() && null) use_role_null(null.get());
  (void)null.release();
  carry_journal(carry, *message.mutable_journal(), it.journal_);
  carry_boot(carry, *message.mutable_boot(), it);
  carry_machine(carry, *message.mutable_machine(), it);
  carry_link(carry, *message.mutable_link(), it);
  carry_network(carry, *message.mutable_network(), it);
  carry_sessions(carry, message, it);
  carry_primary(carry, *message.mutable_primary(), it);
  carry_requests(carry, message, it.requests_);
  carry.each("leftovers", *message.mutable_leftovers(), it.leftovers_);
  TETHER_CARRY(next_leftover, it.next_leftover_);
  TETHER_CARRY(next_expiry_ms, it.next_expiry_ms_);
  TETHER_CARRY(event_number, it.event_number_);
  carry_events(carry, message, it.events_);
  TETHER_CARRY(upgrade_request, it.upgrade_.request);
}

void StateFields::carry_boot(Carry& carry, ::tether::v1::agent::BootState& message,
                             Supervisor& it) {
  BootConfig& boot = it.boot_;
  if (carry.saving()) {
    message.set_config(boot.config.SerializeAsString());
  } else if (!boot.config.ParseFromString(message.config())) {
    carry.refuse("boot.config", "cannot be parsed");
  }
  TETHER_CARRY(secrets, boot.secrets);
  TETHER_CARRY(ssh_secrets, boot.ssh_secrets);
  TETHER_CARRY(config_file, boot.config_file);
  TETHER_CARRY(source, boot.source);
  TETHER_CARRY(has_guestinfo, boot.has_guestinfo);
  TETHER_CARRY(primary_spec, it.primary_spec_);
  TETHER_CARRY(health_spec, it.health_spec_);
}

void StateFields::carry_machine(Carry& carry, ::tether::v1::agent::MachineState& message,
                                Supervisor& it) {
  TETHER_CARRY(container_cgroup, it.container_cgroup_);
  TETHER_CARRY(memory_events, it.memory_events_);
  TETHER_CARRY(kernel_log, it.kernel_log_);
  TETHER_CARRY(pressure, it.pressure_);
  TETHER_CARRY(pids_events, it.pids_events_);
  TETHER_CARRY(relieve_pid, it.relieve_pid_);
  TETHER_CARRY(oom_kills, it.oom_kills_);
  TETHER_CARRY(pids_quiet_ms, it.pids_quiet_ms_);
  TETHER_CARRY(launcher_at_ms, it.launcher_at_ms_);
  TETHER_CARRY(next_look_ms, it.next_look_ms_);
  carry_space(carry, message, it);
  carry.each("stats", *message.mutable_stats(), it.stats_);
  TETHER_CARRY(journal_retry_ms, it.journal_retry_ms_);
  TETHER_CARRY(room_deadline_ms, it.room_deadline_ms_);
  TETHER_CARRY(rings_blocked, it.rings_blocked_);
  TETHER_CARRY(trim_at_ms, it.trim_at_ms_);
  TETHER_CARRY(thrashing_count, it.thrashing_.count_);
  TETHER_CARRY(thrashing_last_ms, it.thrashing_.last_ms_);
  TETHER_CARRY(watchdog, it.watchdog_);
  carry.each("power_buttons", *message.mutable_power_buttons(), it.power_buttons_);
  TETHER_CARRY(terminals, it.terminals_);
}

void StateFields::carry_space(Carry& carry, ::tether::v1::agent::MachineState& all,
                              Supervisor& it) {
  if (!carry.saving()) it.space_.resize(static_cast<size_t>(all.space_size()));
  for (size_t i = 0; i < it.space_.size(); ++i) {
    auto& message = carry.saving() ? *all.add_space() : *all.mutable_space(static_cast<int>(i));
    Supervisor::Space& row = it.space_[i];
    TETHER_CARRY(path, row.path);
    TETHER_CARRY(mounted, row.mounted);
    TETHER_CARRY(full, row.watch.full_);
    TETHER_CARRY(no_inodes, row.watch.no_inodes_);
    TETHER_CARRY(failed, row.watch.failed_);
    bool looked = row.watch.errors_.has_value();
    uint64_t errors = row.watch.errors_.value_or(0);
    TETHER_CARRY(looked, looked);
    TETHER_CARRY(errors, errors);
    if (looked) row.watch.errors_ = errors;
  }
}

void StateFields::carry_link(Carry& carry, ::tether::v1::agent::LinkState& message,
                             Supervisor& it) {
  carry.each("link.devices", *message.mutable_devices(), it.link_devices_.fds);
  if (!carry.saving()) {
    const auto& fds = message.devices();
    it.link_devices_.count =
        static_cast<size_t>(std::count_if(fds.begin(), fds.end(), [](auto fd) { return fd != 0; }));
  }
  TETHER_CARRY(link, it.link_);
  TETHER_CARRY(pid, it.link_pid_);
  TETHER_CARRY(starts, it.link_starts_);
  TETHER_CARRY(restart_ms, it.link_restart_ms_);
  TETHER_CARRY(started_ms, it.link_started_ms_);
  TETHER_CARRY(quick_deaths, it.link_quick_deaths_);
  TETHER_CARRY(forbidden_call, it.link_forbidden_call_);
  carry_launchers(carry, *message.mutable_launchers(), it);
  carry.each("link.ssh_logins", *message.mutable_ssh_logins(), it.ssh_logins_);
}

void StateFields::carry_launchers(Carry& carry, Rows<::tether::v1::agent::LauncherState>& messages,
                                  Supervisor& it) {
  carry.rows("link.launchers", messages, it.launchers_,
             [&carry](auto& message, Supervisor::Launcher& launcher) {
               TETHER_CARRY(requests, launcher.requests);
               TETHER_CARRY(pid, launcher.pid);
             });
}

void StateFields::carry_primary(Carry& carry, ::tether::v1::agent::PrimaryState& message,
                                Supervisor& it) {
  uint32_t primary = it.primary_ == nullptr ? 0 : it.primary_->id;
  uint32_t probe = it.probe_ == nullptr ? 0 : it.probe_->id;
  TETHER_CARRY(session, primary);
  TETHER_CARRY(probe, probe);
  if (!carry.saving()) {
    it.primary_ = it.sessions_.find(primary);
    it.probe_ = it.sessions_.find(probe);
    if (it.primary_ == nullptr) carry.refuse("primary.session", "there is none of that number");
    if (probe != 0 && it.probe_ == nullptr) {
      carry.refuse("primary.probe", "there is no session of that number");
    }
  }
  TETHER_CARRY(monitored, it.has_health_);
  carry_health(carry, *message.mutable_health(), it.health_);
  TETHER_CARRY(stop_signal, it.stop_signal_);
  TETHER_CARRY(kill_at_ms, it.kill_at_ms_);
  TETHER_CARRY(linger_until_ms, it.linger_until_ms_);
  TETHER_CARRY(held, it.held_);
  carry_restarts(carry, *message.mutable_restarts(), it.restarts_);
  TETHER_CARRY(restart_at_ms, it.restart_at_ms_);
  TETHER_CARRY(paused, it.paused_);
  TETHER_CARRY(freezing, it.freezing_);
  TETHER_CARRY(freeze_request, it.freeze_request_);
}

void StateFields::carry_sessions(Carry& carry, All& message, Supervisor& it) {
  if (carry.saving()) {
    for (Session& session : it.sessions_) carry_session(carry, *message.add_sessions(), session);
  }
  for (int i = 0; !carry.saving() && i < message.sessions_size(); ++i) {
    auto& row = *message.mutable_sessions(i);
    it.sessions_.next_id_ = row.id();
    if (row.id() == 0 || it.sessions_.slots_[row.id() % SessionRows::kSlots] != nullptr) {
      return carry.refuse("sessions.id", std::to_string(row.id()) + " makes no sense or is twice");
    }
    Session* session = it.sessions_.add(static_cast<Session::Kind>(row.kind()));
    if (session == nullptr) return carry.refuse("sessions", "more than there are places");
    carry_session(carry, row, *session);
  }
  TETHER_CARRY(next_session, it.sessions_.next_id_);
}

common::Result<SavedState> save_state(Supervisor& supervisor) {
  Carry carry(Carry::Way::kSave);
  StateFields::All all;
  all.set_version(kStateVersion);
  all.set_agent_version(std::string(kVersion));
  StateFields::carry_all(carry, all, supervisor);
  SavedState out;
  out.descriptors = carry.descriptors();
  on_state_saved(all, out.descriptors);
  if (all.ByteSizeLong() > kMostState || !all.SerializeToString(&out.bytes)) {
    return common::make_error(EFBIG, "save", "state");
  }
  return out;
}

common::Result<std::vector<int>> load_state(std::string_view bytes, StateUse use,
                                            Supervisor& supervisor) {
  StateFields::All all;
  if (bytes.size() > kMostState ||
      !all.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return common::make_error(EBADMSG, "load", "state", "cannot be parsed");
  }
  if (all.version() < kOldestState || all.version() > kStateVersion) {
    return common::make_error(EPROTONOSUPPORT, "load", "state",
                              "version " + std::to_string(all.version()) + ", agent " +
                                  std::string(kVersion) + " knows " + std::to_string(kOldestState) +
                                  " to " + std::to_string(kStateVersion));
  }
  StateFields::translate(all);
  RETURN_IF_ERROR(StateFields::open(supervisor));
  Carry carry(use == StateUse::kResume ? Carry::Way::kLoad : Carry::Way::kCheck);
  StateFields::carry_all(carry, all, supervisor);
  if (use == StateUse::kResume && carry.status().has_value()) {
    StateFields::adopt_rings(carry, supervisor);
  }
  RETURN_IF_ERROR(carry.status());
  return carry.descriptors();
}

}  // namespace tether
