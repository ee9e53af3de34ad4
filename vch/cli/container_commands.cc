// ps, inspect, rm, stop, kill: what can be done with containers that exist.
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/io.h"
#include "vch/cli/context.h"
#include "vch/interaction/control.h"
#include "vch/machine/container_config.h"
#include "vch/machine/container_state.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

constexpr int kControlTimeoutMs = 10000;
constexpr size_t kShortId = 12;

std::string describe(const ContainerState& state) {
  const int64_t now = std::time(nullptr);
  std::string text = phase_name(state.phase);
  switch (state.phase) {
    case ContainerState::Phase::kRunning:
      text = "Up since " + time_ago(now - state.started_ns / 1000000000);
      break;
    case ContainerState::Phase::kExited:
      text = "Exited (" + std::to_string(state.exit_code.value_or(kExitMachine)) + ")";
      if (state.finished_ns != 0) text += " " + time_ago(now - state.finished_ns / 1000000000);
      break;
    default:
      break;
  }
  if (state.health == protocol::Health::kHealthy) text += " (healthy)";
  if (state.health == protocol::Health::kUnhealthy) text += " (unhealthy)";
  if (state.health == protocol::Health::kStarting) text += " (health: starting)";
  return text;
}

Status list_containers(const Context& context, bool all, bool quiet) {
  ASSIGN_OR_RETURN(const ContainerStore store, context.containers());
  ASSIGN_OR_RETURN(const auto containers, store.list());
  std::vector<std::vector<std::string>> rows = {
      {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"}};
  for (const Container& container : containers) {
    const bool running = machine_running(container);
    if (!all && !running) continue;
    if (quiet) {
      std::printf("%s\n", container.spec.id.substr(0, kShortId).c_str());
      continue;
    }
    const auto state = read_state(container);
    std::string command;
    for (const auto& word : container.spec.command) command += (command.empty() ? "" : " ") + word;
    if (command.size() > 24) command = command.substr(0, 23) + "…";
    rows.push_back({container.spec.id.substr(0, kShortId), common::escape(container.spec.image),
                    "\"" + common::escape(command) + "\"",
                    time_ago(std::time(nullptr) - container.spec.created_ns / 1000000000),
                    state.has_value() ? describe(*state) : "unreadable: " + state.error().message(),
                    container.spec.name});
  }
  if (!quiet) print_table(rows);
  return {};
}

std::string timestamp(int64_t ns) {
  if (ns == 0) return "";
  const std::time_t seconds = ns / 1000000000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%09dZ", int(ns % 1000000000));
  return text.data();
}

const char* health_name(protocol::Health health) {
  switch (health) {
    case protocol::Health::kStarting:
      return "starting";
    case protocol::Health::kHealthy:
      return "healthy";
    case protocol::Health::kUnhealthy:
      return "unhealthy";
    case protocol::Health::kNone:
      break;
  }
  return "none";
}

Result<Json> describe_container(const Container& container) {
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  const ContainerSpec& spec = container.spec;
  Json volumes = Json::array();
  for (const auto& mount : spec.volumes) {
    volumes.push_back(
        {{"Name", mount.volume}, {"Path", mount.path}, {"ReadOnly", mount.read_only}});
  }
  const auto pid = machine_pid(container);
  const auto shim = shim_pid(container);
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  return Json{{"Id", spec.id},
              {"Name", spec.name},
              {"Image", spec.image},
              {"ImageId", spec.image_id},
              {"Command", spec.command},
              {"Labels", spec.labels},
              {"Created", timestamp(spec.created_ns)},
              {"State", phase_name(state.phase)},
              {"ExitCode", state.exit_code ? Json(*state.exit_code) : Json()},
              {"ExitSignal", state.exit_signal},
              {"Error", state.failure ? state.failure->message() : ""},
              {"Health", health_name(state.health)},
              {"StartedAt", timestamp(state.started_ns)},
              {"FinishedAt", timestamp(state.finished_ns)},
              {"Directory", container.directory},
              {"Volumes", volumes},
              {"Machine",
               {{"Pid", pid ? Json(*pid) : Json()},
                {"Accelerator", life ? life->accelerator : ""},
                {"Memory", spec.memory},
                {"Cpus", spec.cpus}}},
              {"Shim", {{"Pid", shim ? Json(*shim) : Json()}}},
              {"Link", {{"Kind", spec.link}}},
              {"Agent",
               {{"Version", common::escape(state.agent_version)},
                {"LinkRestarts", state.link_starts == 0 ? 0 : state.link_starts - 1}}}};
}

Status inspect(const Context& context, const std::vector<std::string>& names) {
  Json all = Json::array();
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const Container container, context.container(name));
    ASSIGN_OR_RETURN(const Json one, describe_container(container));
    all.push_back(one);
  }
  std::printf("%s\n", all.dump(4, ' ', false, Json::error_handler_t::replace).c_str());
  return {};
}

Status remove(const Context& context, const std::string& name, bool force) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (force && machine_running(container)) RETURN_IF_ERROR(kill_machine(container));
  ASSIGN_OR_RETURN(ContainerStore store, context.containers());
  RETURN_IF_ERROR(store.remove(container));
  std::printf("%s\n", name.c_str());
  return {};
}

Result<tether::v1::Request> new_request() {
  std::array<std::byte, 16> id{};
  RETURN_IF_ERROR(common::fill_random(id));
  tether::v1::Request message;
  message.set_id(id.data(), id.size());
  return message;
}

Status send_signal(const Context& context, const std::string& name, const std::string& signal) {
  ASSIGN_OR_RETURN(const int number, parse_signal(signal));
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (!machine_running(container)) {
    return common::make_error(0, "kill", name, "it does not run");
  }
  ASSIGN_OR_RETURN(auto message, new_request());
  message.mutable_signal()->set_number(static_cast<uint32_t>(number));
  RETURN_IF_ERROR(request(container, context.program, std::move(message), kControlTimeoutMs));
  std::printf("%s\n", name.c_str());
  return {};
}

Status stop(const Context& context, const std::string& name, uint32_t grace_s) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (machine_running(container)) {
    ASSIGN_OR_RETURN(auto message, new_request());
    message.mutable_stop()->set_grace_ms(std::max(1U, grace_s * 1000));
    RETURN_IF_ERROR(request(container, context.program, std::move(message), kControlTimeoutMs));
    RETURN_IF_ERROR(wait_for_machine_end(container, static_cast<int>(grace_s) * 1000 + 30000));
  }
  std::printf("%s\n", name.c_str());
  return {};
}

}  // namespace

void add_container_commands(CLI::App& app, Context& context) {
  struct Flags {
    bool all = false, quiet = false, force = false;
    std::string signal = "KILL";
    uint32_t grace_s = 10;
    std::vector<std::string> names;
  };
  const auto flags = std::make_shared<Flags>();
  const auto each = [flags, &context](auto&& action) {
    for (const std::string& name : flags->names) {
      if (const Status done = action(name); done.has_error()) context.fail(done.error());
    }
  };
  auto* ps = app.add_subcommand("ps", "List containers");
  ps->add_flag("-a,--all", flags->all, "Ended ones too");
  ps->add_flag("-q,--quiet", flags->quiet, "Ids alone");
  ps->callback([flags, &context] {
    const Status done = list_containers(context, flags->all, flags->quiet);
    if (done.has_error()) context.fail(done.error());
  });
  const auto add = [&](const char* name, const char* text) {
    auto* command = app.add_subcommand(name, text);
    command->add_option("CONTAINER", flags->names, "Names or ids")->required();
    return command;
  };
  add("inspect", "Show all that is known of containers, as JSON")->callback([flags, &context] {
    if (const Status done = inspect(context, flags->names); done.has_error()) {
      context.fail(done.error());
    }
  });
  auto* rm = add("rm", "Remove containers");
  rm->add_flag("-f,--force", flags->force, "End the machine first");
  rm->callback([flags, &context, each] {
    each([&](const std::string& name) { return remove(context, name, flags->force); });
  });
  auto* kill = add("kill", "Send a signal to a container's command");
  kill->add_option("-s,--signal", flags->signal, "By name or number")->capture_default_str();
  kill->callback([flags, &context, each] {
    each([&](const std::string& name) { return send_signal(context, name, flags->signal); });
  });
  auto* stop_command = add("stop", "Stop containers: the stop signal, grace, SIGKILL");
  stop_command->add_option("-t,--time", flags->grace_s, "Grace in seconds")->capture_default_str();
  stop_command->callback([flags, &context, each] {
    each([&](const std::string& name) { return stop(context, name, flags->grace_s); });
  });
}

}  // namespace vch
