// `vch update`: other limits, at once where it runs, and from the next start on.
#include <cstdio>
#include <memory>

#include "vch/cli/limit_flags.h"
#include "vch/interaction/control.h"
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

Status tell_agent(const Context& context, const Container& container, const Resources& limits) {
  tether::v1::Request message;
  *message.mutable_update()->mutable_resources() = limits;
  const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
  if (reply.has_error()) {
    common::Error failed = reply.error();
    failed.object = container.spec.name + (failed.object.empty() ? "" : ": " + failed.object);
    if (!failed.detail.empty()) failed.code = {};  // The words say it better.
    return failed;
  }
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
  RETURN_IF_ERROR(protocol::check_config(config));
  if (machine_running(container)) {
    const Resources limits = named_limits(flags.limits, config.resources());
    RETURN_IF_ERROR(change_machine(context, container, flags, limits));
  }
  RETURN_IF_ERROR(ContainerStore::save(container, config));
  std::printf("%s\n", name.c_str());
  return {};
}

}  // namespace

void add_update_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("update", "Change the limits of containers");
  command->add_option("CONTAINER", flags->names, "Names or ids")->required();
  add_limit_flags(*command, flags->limits);
  command->callback([flags, &context] {
    for (const std::string& name : flags->names) {
      const Status done = update(context, name, *flags);
      if (done.has_error()) context.fail(done.error());
    }
  });
}

}  // namespace vch
