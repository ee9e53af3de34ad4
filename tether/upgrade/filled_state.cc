#include "tether/upgrade/filled_state.h"

#include "tether/supervisor/supervisor.h"
#include "tether/upgrade/agent_state.h"

namespace tether {

namespace pb = ::tether::v1::agent;

namespace {

std::string id_of(char first) { return first + std::string(15, 'i'); }

void fill_machine(pb::MachineState& machine) {
  machine.set_relieve_pid(31);
  machine.set_oom_kills(32);
  machine.set_pids_quiet_ms(33);
  machine.set_next_look_ms(34);
  auto& space = *machine.add_space();
  space.set_path("/data");
  space.set_mounted(true);
  space.set_full(true);
  space.set_no_inodes(true);
  space.set_failed(true);
  space.set_looked(true);
  space.set_errors(35);
  machine.set_journal_retry_ms(36);
  machine.set_room_deadline_ms(37);
  machine.set_rings_blocked(true);
  machine.set_trim_at_ms(38);
  machine.set_thrashing_count(3);
  machine.set_thrashing_last_ms(39);
  machine.set_launcher_at_ms(40);
  for (size_t i = 0; i < static_cast<size_t>(StatsFile::kCount); ++i) machine.add_stats(0);
  for (size_t i = 0; i < kMostPowerButtons; ++i) machine.add_power_buttons(0);
}

void fill_link(pb::LinkState& link) {
  for (size_t i = 0; i < kMaxLinkDevices; ++i) link.add_devices(0);
  link.set_pid(41);
  link.set_starts(42);
  link.set_restart_ms(43);
  link.set_started_ms(44);
  link.set_quick_deaths(45);
  link.set_forbidden_call(46);
  link.add_launchers()->set_pid(47);
  link.add_launchers()->set_pid(48);
  for (uint32_t i = 0; i < 32; ++i) link.add_ssh_logins(i == 3 ? 49 : 0);
}

void fill_network(pb::NetworkState& network) {
  network.set_dhcp_pid(51);
  network.set_dhcp_restart_ms(52);
  network.set_gone_interfaces(5);
  for (size_t i = 0; i < protocol::kMaxInterfaces; ++i) {
    auto& hot = *network.add_hot();
    if (i != 1) continue;
    hot.set_used(true);
    hot.set_name("eth1");
    hot.set_connected(1);
    hot.set_dhcp(1);
    hot.add_addresses("10.0.3.2/24");
    hot.add_addresses("fec0::2/64");
    hot.set_leased("10.1.2.3/24");
  }
  network.set_guestinfo_pid(53);
  for (uint32_t i = 0; i < 22; ++i) {
    auto& row = *network.add_guestinfo_rows();
    row.set_key(1 + i % 7);
    row.set_name("eth" + std::to_string(i));
    row.set_value("value " + std::to_string(i));
    row.set_due(i % 2 == 1);
  }
  for (size_t i = 0; i < size_t{2} * protocol::kMaxInterfaces; ++i) {
    auto& row = *network.add_resolver();
    for (uint32_t server = 0; server < 3; ++server) row.add_name_servers(i == 2 ? 0x0100007f : 0);
    if (i != 2) continue;
    row.set_name("eth0");
    row.set_count(2);
    row.set_domain("example.org");
  }
  network.set_resolver_due(true);
  network.set_resolver_pid(54);
}

void fill_primary(pb::PrimaryState& primary) {
  primary.set_session(1);
  primary.set_probe(7);
  primary.set_monitored(true);
  auto& health = *primary.mutable_health();
  health.set_interval_ms(61);
  health.set_timeout_ms(62);
  health.set_start_period_ms(63);
  health.set_retries(64);
  health.set_started_ms(65);
  health.set_next_probe_ms(66);
  health.set_probe_deadline_ms(67);
  health.set_probing(true);
  health.set_killed(true);
  health.set_failures(68);
  health.set_health(3);
  primary.set_stop_signal(15);
  primary.set_kill_at_ms(69);
  primary.set_linger_until_ms(70);
  primary.set_held(true);
  auto& restarts = *primary.mutable_restarts();
  restarts.set_kind(1);
  restarts.set_max_retries(71);
  restarts.set_cancelled(true);
  restarts.set_count(72);
  restarts.set_delay_ms(73);
  primary.set_restart_at_ms(74);
  primary.set_paused(true);
  primary.set_freezing(true);
  primary.set_freeze_request(id_of('f'));
}

void fill_output(pb::OutputState& output, uint64_t base) {
  output.set_head(base + 500);
  output.set_tail(base + 100);
  output.set_punched(base);
  output.set_head_then(base + 90);
  output.set_ended(base == 4096);
  output.set_watched(true);
  output.set_discard(true);
  output.set_told(base != 4096);
  output.set_eof_told(true);
  output.set_journaled(base + 110);
  output.set_seen(true);
  output.set_delivered(base + 120);
  output.set_acked(base + 130);
  output.set_dropped(81);
  output.set_dropped_told(82);
  output.set_drop_told_ms(83);
}

void fill_session(pb::AgentSession& session, uint32_t id, uint32_t kind) {
  session.set_id(id);
  session.set_kind(kind);
  session.set_state(1);
  session.set_request(id_of(static_cast<char>('0' + id)));
  session.set_tty(true);
  session.set_stdin_open(true);
  session.set_discard(true);
  session.set_transient(true);
  session.set_outside(true);
  session.set_apart(true);
  session.set_sealed(true);
  session.set_launcher(91);
  session.set_pid(92 + id);
  session.set_failed(true);
  session.set_failure_stage(5);
  session.set_failure_errno(2);
  session.set_failure_object("/bin/x");
  session.set_input_eof(true);
  session.set_input_wide(true);
  session.set_rows(24);
  session.set_columns(80);
  auto& queue = *session.mutable_queue();
  auto& writer = *queue.add_writers();
  writer.set_id(id_of('w'));
  writer.set_received(1000);
  writer.set_used(4);
  for (const uint64_t length : {3, 2}) {
    auto& chunk = *queue.add_chunks();
    chunk.set_writer(id_of('w'));
    chunk.set_end_offset(995 + length);
    chunk.set_length(length);
  }
  queue.set_bytes("abcde");
  queue.set_clock(9);
  fill_output(*session.add_outputs(), 4096);
  fill_output(*session.add_outputs(), 8192);
  session.set_reaped(true);
  session.set_exit_code(137);
  session.set_exit_signal(9);
  session.set_started_ms(101);
  session.set_ended_ms(102);
  session.set_end_announced(true);
  session.set_exit_acknowledged(true);
  session.set_attached(2);
  session.set_unattended_ms(103);
  session.set_introduced(true);
  session.set_exit_told(false);
}

}  // namespace

pb::AgentState filled_state() {
  pb::AgentState all;
  all.set_version(kStateVersion);
  all.set_agent_version("fixture");
  auto& journal = *all.mutable_journal();
  journal.set_secret(11);
  journal.set_pending("not yet written");
  journal.set_waiting_since_ms(12);
  journal.set_next_number(13);
  journal.set_last_wall_ns(14);
  journal.set_lost(15);
  protocol::pb::ContainerVm config;
  config.set_id(std::string(64, 'c'));
  all.mutable_boot()->set_config(config.SerializeAsString());
  all.mutable_boot()->set_source(1);
  all.mutable_boot()->set_has_guestinfo(true);
  fill_machine(*all.mutable_machine());
  fill_link(*all.mutable_link());
  fill_network(*all.mutable_network());
  fill_primary(*all.mutable_primary());
  all.set_next_session(17);
  fill_session(*all.add_sessions(), 1, 0);
  fill_session(*all.add_sessions(), 7, 1);
  fill_session(*all.add_sessions(), 9, 2);
  for (size_t i = 0; i < RecentRequests::kCapacity; ++i)
    all.add_requests(id_of(static_cast<char>(i)));
  all.set_next_request(300);
  for (int i = 0; i < 1024; ++i) all.add_leftovers(0);
  all.set_next_leftover(18);
  all.set_next_expiry_ms(19);
  all.set_event_number(20);
  auto& event = *all.add_events();
  event.set_kind_and_stage(0x30002);
  event.set_session(1);
  event.set_value(21);
  event.set_number(22);
  event.set_wall_ns(23);
  event.set_extra(24);
  event.set_text("text");
  all.set_upgrade_request(id_of('u'));
  return all;
}

}  // namespace tether
