// rm, stop, kill, upgrade-shim, restart-link: what can be done with containers that exist.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "protocol/config.h"
#include "vch/cli/context.h"
#include "vch/interaction/control.h"
#include "vch/machine/container_config.h"
#include "vch/machine/crash.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"
#include "vch/machine/remove_container.h"
#include "vch/migration/migrate.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kControlTimeoutMs = 10000;
// The answer is the next link process's to give, which after many deaths comes a second later, and
// may be gone again before it was heard.
constexpr int kRestartTimeoutMs = 60000;
constexpr int kPowerOffMs = 30000;  // behind the command's end

// Whoever moves it here takes away what is left, and it goes on where it is.
Status refuse_arrival(const Container& incoming, bool force) {
  if (!force) {
    return common::make_error(EBUSY, "remove container", incoming.spec.name,
                              "it is on its way here; `vch rm -f` keeps it from coming");
  }
  RETURN_IF_ERROR(kill_machine(incoming));
  std::printf("%s\n", incoming.spec.name.c_str());
  return {};
}

Status remove(const Context& context, const std::string& name, bool force, bool volumes) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  const auto found = context.container(name);
  if (found.has_error()) {
    const auto incoming = find_incoming(state, name);
    if (incoming.has_error()) return found.error();
    return refuse_arrival(*incoming, force);
  }
  const Container& container = *found;
  if (force && machine_running(container)) RETURN_IF_ERROR(kill_machine(container));
  RETURN_IF_ERROR(remove_container(state, container, volumes));
  std::printf("%s\n", name.c_str());
  return {};
}

struct Signal {
  std::string name = "KILL";
  uint32_t session = 0;
  bool whole_group = false;
};

Status send_signal(const Context& context, const std::string& name, const Signal& signal) {
  ASSIGN_OR_RETURN(const int number, parse_signal(signal.name));
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (!machine_running(container)) {
    return common::make_error(0, "kill", name, "it does not run");
  }
  tether::v1::Request message;
  message.mutable_signal()->set_number(static_cast<uint32_t>(number));
  message.mutable_signal()->set_session(signal.session);
  message.mutable_signal()->set_whole_group(signal.whole_group);
  RETURN_IF_ERROR(request(container, context.program, std::move(message), kControlTimeoutMs));
  std::printf("%s\n", name.c_str());
  return {};
}

Status stop(const Context& context, const std::string& name, std::optional<uint32_t> grace_s,
            const std::string& signal) {
  int number = 0;  // the configured one
  if (!signal.empty()) {
    ASSIGN_OR_RETURN(number, parse_signal(signal));
  }
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (machine_running(container)) {
    uint32_t grace_ms = protocol::kDefaultStopGraceMs;
    if (grace_s) {
      grace_ms = std::max(1U, *grace_s * 1000);
    } else if (const auto config = read_config(container);
               config.has_value() && config->stop_grace_ms() != 0) {
      grace_ms = config->stop_grace_ms();
    }
    tether::v1::Request message;
    message.mutable_stop()->set_grace_ms(grace_ms);
    message.mutable_stop()->set_signal(static_cast<uint32_t>(number));
    RETURN_IF_ERROR(request(container, context.program, std::move(message), kControlTimeoutMs));
    const uint64_t longest = std::min<uint64_t>(uint64_t{grace_ms} + kPowerOffMs, INT32_MAX);
    RETURN_IF_ERROR(wait_for_machine_end(container, static_cast<int>(longest)));
  } else {
    note_killed(container);  // Its shim may be about to start it again.
  }
  std::printf("%s\n", name.c_str());
  return {};
}

// Whoever is attached comes back to the new one by himself and goes on where he was.
Status upgrade_shim(const Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (!machine_running(container)) {
    return common::make_error(0, "upgrade the shim of", name, "it does not run");
  }
  RETURN_IF_ERROR(replace_shim(container, context.program));
  std::printf("%s\n", name.c_str());
  return {};
}

Status restart_link(const Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  if (!machine_running(container)) {
    return common::make_error(0, "restart the link of", name, "it does not run");
  }
  tether::v1::Request message;
  message.mutable_restart_link();
  RETURN_IF_ERROR(request(container, context.program, std::move(message), kRestartTimeoutMs));
  std::printf("%s\n", name.c_str());
  return {};
}

}  // namespace

void add_container_commands(CLI::App& app, Context& context) {
  struct Flags {
    bool force = false, volumes = false;
    Signal signal;
    std::optional<uint32_t> grace_s;
    std::string stop_signal;
    std::vector<std::string> names;
  };
  const auto flags = std::make_shared<Flags>();
  const auto each = [flags, &context](auto&& action) {
    for (const std::string& name : flags->names) {
      if (const Status done = action(name); done.has_error()) context.fail(done.error());
    }
  };
  const auto add = [&](const char* name, const char* text) {
    auto* command = app.add_subcommand(name, text);
    command->add_option("CONTAINER", flags->names, "Names or ids")->required();
    return command;
  };
  auto* rm = add("rm", "Remove containers");
  rm->add_flag("-f,--force", flags->force, "End the machine first");
  rm->add_flag("-v,--volumes", flags->volumes,
               "And the volumes without a name that were made for them");
  rm->callback([flags, &context, each] {
    each([&](const std::string& name) {
      return remove(context, name, flags->force, flags->volumes);
    });
  });
  auto* kill = add("kill", "Send a signal to a container's command");
  kill->add_option("-s,--signal", flags->signal.name, "By name or number")->capture_default_str();
  kill->add_option("--session", flags->signal.session, "An exec's number; 0 is the container's");
  kill->add_flag("--group", flags->signal.whole_group, "Its process group, not it alone");
  kill->callback([flags, &context, each] {
    each([&](const std::string& name) { return send_signal(context, name, flags->signal); });
  });
  auto* stop_command = add("stop", "Stop containers: the stop signal, grace, SIGKILL");
  stop_command->add_option("-t,--time", flags->grace_s,
                           "Grace in seconds [--stop-timeout's, or 10]");
  stop_command->add_option("-s,--signal", flags->stop_signal,
                           "What is sent first, by name or number [--stop-signal's, or TERM]");
  stop_command->callback([flags, &context, each] {
    each([&](const std::string& name) {
      return stop(context, name, flags->grace_s, flags->stop_signal);
    });
  });
  add("upgrade-shim", "Replace the shims of containers by new ones of this program")
      ->callback([&context, each] {
        each([&](const std::string& name) { return upgrade_shim(context, name); });
      });
  add("restart-link",
      "Kill and replace the agents' link processes and launchers: for tests, and when one is "
      "stuck; "
      "sessions and whoever is attached to them go on")
      ->callback([&context, each] {
        each([&](const std::string& name) { return restart_link(context, name); });
      });
}

}  // namespace vch
