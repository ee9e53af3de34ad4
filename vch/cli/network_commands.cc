// `vch network`: the networks of a container, changed while it runs too.
#include <array>
#include <cstdio>
#include <memory>

#include "common/io.h"
#include "vch/cli/changing.h"
#include "vch/interaction/control.h"
#include "vch/machine/hot_network.h"
#include "vch/machine/machine.h"
#include "vch/network/network_flags.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr int kTimeoutMs = 60000;

struct Flags {
  std::string container, network;
};

Status tell_agent(const Context& context, const Container& container, tether::v1::Request message) {
  const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
  return reply.has_error() ? Status(reply.error()) : Status();
}

Status connect(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(Changing change, begin_change(context, flags.container));
  auto& spec = change.container.spec;
  // A card that was disconnected may still be in the machine: no MAC is given twice.
  std::array<std::byte, 32> chance{};
  RETURN_IF_ERROR(common::fill_random(chance));
  ASSIGN_OR_RETURN(NetworkFlag flag,
                   make_further_network(flags.network, common::to_hex(chance), spec.networks));
  auto& network = *change.config.mutable_network();
  *network.add_interfaces() = flag.interface;
  RETURN_IF_ERROR(protocol::check_config(change.config));
  if (machine_running(change.container)) {
    RETURN_IF_ERROR(plug_network(change.container, flag.attachment));
    tether::v1::Request message;
    *message.mutable_connect_network()->mutable_interface() = flag.interface;
    const Status told = tell_agent(context, change.container, std::move(message));
    if (told.has_error()) {
      (void)unplug_network(change.container, flag.attachment);
      return told;
    }
  }
  spec.networks.push_back(flag.attachment);
  RETURN_IF_ERROR(ContainerStore::save(change.container, change.config));
  std::printf("%s\n", flag.attachment.name.c_str());
  return {};
}

// By the interface's name, or by the kind, where one alone is of it.
Result<size_t> find_network(const Container& container, const std::string& wanted) {
  const auto& networks = container.spec.networks;
  std::vector<size_t> found;
  std::string names;
  for (size_t i = 0; i < networks.size(); ++i) {
    const auto& one = networks[i];
    if (one.name == wanted) return i;
    const std::string kind = one.kind == "bridge" ? "bridge:" + one.bridge : one.kind;
    if (kind == wanted) found.push_back(i);
    names += (names.empty() ? "" : ", ") + one.name + " (" + kind + ")";
  }
  if (found.size() == 1) return found[0];
  return make_error(ENOENT, "disconnect network", "'" + wanted + "'",
                    names.empty() ? "the container has none"
                                  : "want one of the container's interfaces: " + names);
}

Status disconnect(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(Changing change, begin_change(context, flags.container));
  auto& spec = change.container.spec;
  ASSIGN_OR_RETURN(const size_t at, find_network(change.container, flags.network));
  const NetworkAttachment network = spec.networks[at];
  if (machine_running(change.container)) {
    tether::v1::Request message;
    message.mutable_disconnect_network()->set_name(network.name);
    RETURN_IF_ERROR(tell_agent(context, change.container, std::move(message)));
    RETURN_IF_ERROR(unplug_network(change.container, network));
  }
  spec.networks.erase(spec.networks.begin() + static_cast<long>(at));
  auto& interfaces = *change.config.mutable_network()->mutable_interfaces();
  for (int i = interfaces.size() - 1; i >= 0; --i) {
    if (interfaces[i].name() == network.name) interfaces.DeleteSubrange(i, 1);
  }
  RETURN_IF_ERROR(ContainerStore::save(change.container, change.config));
  std::printf("%s\n", network.name.c_str());
  return {};
}

}  // namespace

void add_network_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* network = app.add_subcommand("network", "Change a container's networks, while it runs too");
  network->require_subcommand(1);
  auto* add = network->add_subcommand("connect", "Give a container one more network");
  add->add_option("CONTAINER", flags->container, "Its name or id")->required();
  add->add_option("NETWORK", flags->network, "As --network of `vch run`: user or bridge:NAME[,...]")
      ->required();
  add->callback([flags, &context] { context.finish(connect(context, *flags)); });
  auto* remove = network->add_subcommand("disconnect", "Take a network from a container");
  remove->add_option("CONTAINER", flags->container, "Its name or id")->required();
  remove->add_option("NETWORK", flags->network, "The interface's name, or its kind")->required();
  remove->callback([flags, &context] { context.finish(disconnect(context, *flags)); });
}

}  // namespace vch
