// `vch update`: other limits and restarts, at once where it runs, and from the next start on.
#include <cstdio>
#include <memory>
#include <optional>

#include "vch/cli/limit_flags.h"
#include "vch/interaction/control.h"
#include "vch/machine/container_config.h"
#include "vch/machine/machine.h"
#include "vch/machine/qemu_command.h"
#include "vch/machine/resize.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using protocol::pb::Resources;

constexpr int kTimeoutMs = 40000;  // CPUs start slowly on a host that has much else to do

struct Flags {
  std::vector<std::string> names;
  LimitOptions limits;
  std::optional<std::string> restart;

  bool limits_given() const {
    return limits.memory || limits.memory_max || limits.memory_reservation || limits.cpus ||
           limits.cpus_max || limits.cpu_shares || limits.pids_limit;
  }
};

// What was named alone: the agent leaves the rest as it is.
Resources named_limits(const LimitOptions& options, const Resources& all) {
  Resources out;
  if (options.memory) out.set_memory_max(all.memory_max());
  if (options.memory_reservation) out.set_memory_low(all.memory_low());
  if (options.cpus) out.set_cpu_millis(all.cpu_millis());
  if (options.cpu_shares) out.set_cpu_weight(all.cpu_weight());
  if (options.pids_limit) out.set_pids_max(all.pids_max());
  return out;
}

Status ask_agent(const Context& context, const Container& container, tether::v1::Request message) {
  const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
  if (reply.has_error()) {
    common::Error failed = reply.error();
    failed.object = container.spec.name + (failed.object.empty() ? "" : ": " + failed.object);
    if (!failed.detail.empty()) failed.code = {};  // The words say it better.
    return failed;
  }
  return {};
}

Status tell_agent(const Context& context, const Container& container, const Resources& limits) {
  tether::v1::Request message;
  *message.mutable_update()->mutable_resources() = limits;
  return ask_agent(context, container, std::move(message));
}

Status set_policy(const Container& container, const std::string& text,
                  protocol::pb::ContainerVm& config) {
  ASSIGN_OR_RETURN(const auto policy, parse_restart(text));
  if (container.spec.auto_remove && policy.kind() != tether::v1::RestartPolicy::NO) {
    return make_error(EINVAL, "--restart", "'" + text + "'",
                      "--rm removes what would be restarted");
  }
  *config.mutable_restart() = policy;
  return {};
}

// Memory is given before it may be used, and taken once it may not.
Status change_machine(const Context& context, const Container& container, const Flags& flags,
                      const Resources& limits) {
  ASSIGN_OR_RETURN(const MachineResources now, machine_resources(container));
  const uint64_t memory = container.spec.memory;
  if (flags.limits.cpus) RETURN_IF_ERROR(plug_cpus(container, container.spec.cpus));
  if (flags.limits.memory && memory > now.memory) {
    ASSIGN_OR_RETURN(const uint64_t has, resize_memory(container, memory));
    if (has < memory) {
      return make_error(ETIMEDOUT, "update", container.spec.name,
                        "the machine took " + std::to_string(has >> 20U) + "m of the " +
                            std::to_string(memory >> 20U) + "m; ask again");
    }
  }
  RETURN_IF_ERROR(tell_agent(context, container, limits));
  if (!flags.limits.memory || memory >= now.memory) return {};
  ASSIGN_OR_RETURN(const uint64_t has, resize_memory(container, memory));
  if (has > memory + kMemoryBlock && now.memory > now.base_memory) {
    std::fprintf(stderr,
                 "vch: %s: the machine keeps %llum until it starts again; the container may use "
                 "%llum of it\n",
                 container.spec.name.c_str(), static_cast<unsigned long long>(has >> 20U),
                 static_cast<unsigned long long>(memory >> 20U));
  }
  return tell_agent(context, container, limits);  // What the machine has is less now.
}

Status update(const Context& context, const std::string& name, const Flags& flags) {
  ASSIGN_OR_RETURN(Container container, context.container(name));
  ASSIGN_OR_RETURN(const auto lock, ContainerStore::lock_for_change(container));
  ASSIGN_OR_RETURN(container, context.container(container.spec.id));
  ASSIGN_OR_RETURN(auto config, read_config(container));
  RETURN_IF_ERROR(
      apply_limits(flags.limits, host_memory(), container.spec, *config.mutable_resources()));
  if (flags.restart) RETURN_IF_ERROR(set_policy(container, *flags.restart, config));
  RETURN_IF_ERROR(protocol::check_config(config));
  const bool running = machine_running(container);
  if (running && flags.limits_given()) {
    const Resources limits = named_limits(flags.limits, config.resources());
    RETURN_IF_ERROR(change_machine(context, container, flags, limits));
  }
  if (running && flags.restart) {
    tether::v1::Request message;
    *message.mutable_restart_policy() = config.restart();
    RETURN_IF_ERROR(ask_agent(context, container, std::move(message)));
  }
  RETURN_IF_ERROR(ContainerStore::save(container, config));
  std::printf("%s\n", name.c_str());
  return {};
}

}  // namespace

void add_update_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("update", "Change the limits and restarts of containers");
  command->add_option("CONTAINER", flags->names, "Names or ids")->required();
  add_limit_flags(*command, flags->limits);
  command->add_option("--restart", flags->restart,
                      "no, on-failure[:N], always or unless-stopped; from the next end on");
  command->callback([flags, &context] {
    for (const std::string& name : flags->names) {
      const Status done = update(context, name, *flags);
      if (done.has_error()) context.fail(done.error());
    }
  });
}

}  // namespace vch
