#include "vch/cli/describe.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "vch/cli/network.h"
#include "vch/interaction/control.h"
#include "vch/journal/event_text.h"
#include "vch/journal/time_text.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::Result;
using Json = nlohmann::ordered_json;
using protocol::pb::Resources;

constexpr int kAgentTimeoutMs = 2000;
constexpr int64_t kNsPerS = 1000000000;
constexpr double kMsPerS = 1000;

Json or_null(const std::optional<int>& value) { return value ? Json(*value) : Json(); }

Json describe_volumes(const ContainerSpec& spec) {
  Json volumes = Json::array();
  for (const auto& mount : spec.volumes) {
    Json row = {{"Type", mount.is_tmpfs() ? "tmpfs" : "volume"},
                {"Name", mount.volume},
                {"Path", mount.path},
                {"ReadOnly", mount.read_only}};
    if (mount.anonymous) row["Anonymous"] = true;
    if (mount.is_tmpfs()) row["Size"] = mount.tmpfs.size;
    volumes.push_back(std::move(row));
  }
  return volumes;
}

Json describe_root(const ContainerSpec& spec) {
  return {{"Format", spec.root_format}, {"Layer", spec.root_layer}};
}

Json describe_networks(const ContainerSpec& spec, const ContainerState& state) {
  Json networks = Json::array();
  for (const auto& network : spec.networks) {
    Json addresses = Json::array();
    for (const std::string& text : state.addresses) {
      if (text.starts_with(network.name + " ")) {
        addresses.push_back(text.substr(network.name.size() + 1));
      }
    }
    networks.push_back({{"Interface", network.name},
                        {"Kind", network.kind},
                        {"Bridge", network.bridge},
                        {"MacAddress", network.mac},
                        {"Addresses", addresses}});
  }
  return networks;
}

// As Docker has them: {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}.
Json describe_ports(const std::vector<PublishedPort>& ports) {
  Json json = Json::object();
  for (const PublishedPort& port : ports) {
    const std::string address = port.host_address.empty() ? "0.0.0.0" : port.host_address;
    json[container_side(port)].push_back(
        {{"HostIp", address}, {"HostPort", std::to_string(port.host_port)}});
  }
  return json;
}

std::string signal_name(uint32_t number) {
  const char* name = number == 0 ? "TERM" : ::sigabbrev_np(static_cast<int>(number));
  return name != nullptr ? std::string("SIG") + name : std::to_string(number);
}

void describe_config(const protocol::pb::ContainerVm& config, Json& json) {
  using Policy = tether::v1::RestartPolicy;
  const auto& primary = config.primary();
  const bool always = config.restart().kind() == Policy::ALWAYS;
  const bool on_failure = config.restart().kind() == Policy::ON_FAILURE;
  json["Config"] = {
      {"Hostname", config.hostname()},
      {"User", primary.user()},
      {"WorkingDir", primary.working_dir()},
      {"Env", std::vector<std::string>(primary.env().begin(), primary.env().end())},
      {"Tty", primary.tty()},
      {"OpenStdin", primary.open_stdin()},
      {"StopSignal", signal_name(primary.stop_signal())},
      {"StopTimeout",
       config.stop_grace_ms() == 0 ? Json() : Json(config.stop_grace_ms() / kMsPerS)}};
  json["RestartPolicy"] = {{"Name", always       ? "always"
                                    : on_failure ? "on-failure"
                                                 : "no"},
                           {"MaximumRetryCount", config.restart().max_retries()}};
  json["LogPolicy"] = config.journal().output_policy() == tether::v1::DROP ? "drop" : "block";
}

// 0: none but the machine's own.
Json describe_limits(const ContainerSpec& spec, const Resources& resources) {
  const bool no_pids = resources.pids_max() == UINT32_MAX;
  return {{"Memory", resources.memory_max()},
          {"MemoryReservation", resources.memory_low()},
          {"NanoCpus", uint64_t{resources.cpu_millis()} * 1000000},
          {"CpuShares", spec.cpu_shares},
          {"PidsLimit", no_pids ? int64_t{-1} : int64_t{resources.pids_max()}}};
}

// The container's command and its execs, with the numbers that `vch kill --session` takes.
Json describe_sessions(const tether::v1::Info& info) {
  static constexpr std::array kStates = {"created", "running", "exited", "failed"};
  Json sessions = Json::array();
  for (const auto& session : info.sessions()) {
    Json command = Json::array();
    for (const auto& word : session.argv()) command.push_back(common::escape(word));
    const bool known = session.state() < kStates.size();
    sessions.push_back({{"Id", session.id()},
                        {"Primary", session.primary()},
                        {"Pid", session.pid()},
                        {"State", known ? kStates[session.state()] : "unknown"},
                        {"Command", command}});
  }
  return sessions;
}

Json ask_agent(const Context& context, const Container& container, const ContainerState& state) {
  Json agent = {{"Version", nullptr},      {"PssKiB", nullptr},    {"Descriptors", nullptr},
                {"LinkRestarts", nullptr}, {"SshLogins", nullptr}, {"Sessions", nullptr}};
  const bool lives = state.phase == ContainerState::Phase::kRunning ||
                     state.phase == ContainerState::Phase::kPaused ||
                     state.phase == ContainerState::Phase::kRestarting;
  if (!lives || state.powered_off) return agent;
  tether::v1::Request message;
  message.mutable_get_info();
  const auto reply = request(container, context.program, std::move(message), kAgentTimeoutMs);
  if (reply.has_error()) return agent;
  const auto& info = reply->info();
  agent["Version"] = common::escape(info.agent_version());
  if (info.pss_kib() != 0) agent["PssKiB"] = info.pss_kib();
  if (info.descriptors() != 0) agent["Descriptors"] = info.descriptors();
  agent["LinkRestarts"] = info.link_restarts();
  agent["SshLogins"] = info.ssh_logins();
  agent["Sessions"] = describe_sessions(info);
  return agent;
}

}  // namespace

std::string status_text(const ContainerState& state) {
  const int64_t now = std::time(nullptr);
  std::string text = phase_name(state.phase);
  switch (state.phase) {
    case ContainerState::Phase::kRunning:
    case ContainerState::Phase::kPaused:
      text = "Up since " + time_ago(now - state.started_ns / kNsPerS);
      if (state.phase == ContainerState::Phase::kPaused) text += " (Paused)";
      break;
    case ContainerState::Phase::kRestarting:
      text = "Restarting (" + std::to_string(state.exit_code.value_or(kExitMachine)) + ")";
      if (state.finished_ns != 0) text += " " + time_ago(now - state.finished_ns / kNsPerS);
      break;
    case ContainerState::Phase::kExited:
      text = "Exited (" + std::to_string(state.exit_code.value_or(kExitMachine)) + ")";
      if (state.finished_ns != 0) text += " " + time_ago(now - state.finished_ns / kNsPerS);
      break;
    default:
      break;
  }
  if (state.health == protocol::Health::kHealthy) text += " (healthy)";
  if (state.health == protocol::Health::kUnhealthy) text += " (unhealthy)";
  if (state.health == protocol::Health::kStarting) text += " (health: starting)";
  return text;
}

std::string timestamp(int64_t ns) { return ns == 0 ? "" : format_time(ns); }

Result<Json> describe_container(const Context& context, const Container& container) {
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  ASSIGN_OR_RETURN(const auto ports, ports_of(container));
  const Json agent = ask_agent(context, container, state);  // It may start the shim.
  const ContainerSpec& spec = container.spec;
  Json json = {{"Id", spec.id},
               {"Name", spec.name},
               {"Image", spec.image},
               {"ImageId", spec.image_id},
               {"Command", spec.command},
               {"Labels", spec.labels},
               {"Created", timestamp(spec.created_ns)},
               {"State", phase_name(state.phase)},
               {"ExitCode", or_null(state.exit_code)},
               {"ExitSignal", state.exit_signal},
               {"Error", state.failure ? state.failure->message() : ""},
               {"Health", health_name(state.health)},
               {"RestartCount", state.restarts},
               {"OomKilled", state.oom_killed},
               {"OomProcess", state.oom_process},
               {"StartedAt", timestamp(state.started_ns)},
               {"FinishedAt", timestamp(state.finished_ns)},
               {"AutoRemove", spec.auto_remove},
               {"Directory", container.directory},
               {"Root", describe_root(spec)},
               {"Volumes", describe_volumes(spec)},
               {"Networks", describe_networks(spec, state)},
               {"Ports", describe_ports(ports)}};
  // One that cannot be read is the agent's to complain about: "Error" has that.
  const auto config = read_config(container);
  describe_config(config.has_value() ? *config : protocol::pb::ContainerVm(), json);
  json["Machine"] = {{"Pid", or_null(machine_pid(container))},
                     {"Accelerator", life ? life->accelerator : ""},
                     {"Memory", spec.memory},
                     {"MemoryMax", std::max(spec.memory, spec.memory_top)},
                     {"Cpus", spec.cpus},
                     {"CpusMax", std::max(spec.cpus, spec.cpus_top)},
                     {"OnPanic", spec.on_panic},
                     {"Crashes", life ? life->crashes : 0}};
  json["Limits"] = describe_limits(spec, config.has_value() ? config->resources() : Resources());
  json["Shim"] = {{"Pid", or_null(shim_pid(container))}};
  json["Link"] = {{"Kind", spec.link}};
  json["Agent"] = agent;
  return json;
}

}  // namespace vch
