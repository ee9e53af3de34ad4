// The fields of each class, which carries_*.cc list. A friend of all whose fields these are.
#pragma once

#include "protocol/agent_state.pb.h"
#include "tether/supervisor/supervisor.h"
#include "tether/upgrade/carry.h"

namespace tether {

struct StateFields {
  template <typename T>
  using Rows = google::protobuf::RepeatedPtrField<T>;
  using All = ::tether::v1::agent::AgentState;

  // From what it meant in the version that wrote it to what it means here: state_versions.cc.
  static void translate(All& message);
  // state_supervisor.cc
  static common::Status open(Supervisor& it);
  static void carry_all(Carry& carry, All& message, Supervisor& it);
  static void carry_boot(Carry& carry, ::tether::v1::agent::BootState& message, Supervisor& it);
  static void carry_machine(Carry& carry, ::tether::v1::agent::MachineState& message,
                            Supervisor& it);
  static void carry_space(Carry& carry, ::tether::v1::agent::MachineState& message, Supervisor& it);
  static void carry_link(Carry& carry, ::tether::v1::agent::LinkState& message, Supervisor& it);
  static void carry_launchers(Carry& carry, Rows<::tether::v1::agent::LauncherState>& messages,
                              Supervisor& it);
  static void carry_primary(Carry& carry, ::tether::v1::agent::PrimaryState& message,
                            Supervisor& it);
  static void carry_sessions(Carry& carry, All& message, Supervisor& it);
  // state_network.cc
  static void carry_network(Carry& carry, ::tether::v1::agent::NetworkState& message,
                            Supervisor& it);
  static void carry_hot(Carry& carry, ::tether::v1::agent::NetworkState& message, Supervisor& it);
  static void carry_resolver(Carry& carry, ::tether::v1::agent::ResolverState& message,
                             ResolverRow& row);
  // state_session.cc
  static void carry_session(Carry& carry, ::tether::v1::agent::AgentSession& message, Session& it);
  static void carry_stdin(Carry& carry, ::tether::v1::agent::StdinState& message, StdinQueue& it);
  static void carry_output(Carry& carry, ::tether::v1::agent::OutputState& message, Output& it);
  static void adopt_rings(Carry& carry, Supervisor& it);
  // state_tables.cc
  static void carry_journal(Carry& carry, ::tether::v1::agent::JournalState& message,
                            JournalWriter& it);
  static void carry_events(Carry& carry, All& message, EventLog& it);
  static void carry_requests(Carry& carry, All& message, RecentRequests& it);
  static void carry_health(Carry& carry, ::tether::v1::agent::HealthState& message,
                           HealthMonitor& it);
  static void carry_restarts(Carry& carry, ::tether::v1::agent::RestartsState& message,
                             Restarts& it);
  static void carry_guestinfo(Carry& carry, ::tether::v1::agent::NetworkState& message,
                              GuestinfoState& it);
};

}  // namespace tether
