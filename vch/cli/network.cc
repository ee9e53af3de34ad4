// The flags about the network, and `vch port`.
#include "vch/cli/network.h"

#include <cstdio>
#include <memory>

#include "vch/machine/life.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

Status show_ports(const Context& context, const std::string& name, const std::string& wanted) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  ASSIGN_OR_RETURN(const auto ports, ports_of(container));
  const std::string full = wanted.find('/') == std::string::npos ? wanted + "/tcp" : wanted;
  bool found = false;
  for (const PublishedPort& port : ports) {
    if (wanted.empty()) {
      std::printf("%s -> %s\n", container_side(port).c_str(), host_side(port).c_str());
    } else if (container_side(port) == full) {
      std::printf("%s\n", host_side(port).c_str());
      found = true;
    }
  }
  if (wanted.empty() || found) return {};
  return make_error(0, "no public port", "'" + full + "'",
                    "container " + container.spec.name + " does not publish it");
}

}  // namespace

// One that was chosen at the start is known while the machine runs.
Result<std::vector<PublishedPort>> ports_of(const Container& container) {
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  if (life && machine_running(container)) return life->ports;
  return container.spec.ports;
}

void add_network_flags(CLI::App& command, NetworkFlags& flags) {
  const auto add = [&command](const char* names, std::vector<std::string>& values,
                              const char* text) {
    command.add_option(names, values, text)->allow_extra_args(false);
  };
  add("--network,--net", flags.networks,
      "none, user or bridge:NAME, with ,ip= ,gateway= ,route= ,mac= ,mtu= ,policy= ,interface= "
      ",dhcp");
  add("-p,--publish", flags.ports, "Lead a port of the host in: [[ADDRESS:]HOST:]PORT[/udp]");
  add("--add-host", flags.add_hosts, "An entry of /etc/hosts, NAME:ADDRESS");
  add("--dns", flags.dns, "A name server's address");
  add("--dns-search", flags.dns_search, "A domain that short names are looked for in");
  add("--dns-option,--dns-opt", flags.dns_options, "An option of the resolver");
}

void add_port_command(CLI::App& app, Context& context) {
  struct Flags {
    std::string name, port;
  };
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("port", "Show which ports of the host lead in");
  command->add_option("CONTAINER", flags->name, "Its name or id")->required();
  command->add_option("PORT", flags->port, "Of the container, as 80 or 53/udp");
  command->callback([flags, &context] {
    const auto done = show_ports(context, flags->name, flags->port);
    if (done.has_error()) context.fail(done.error());
  });
}

}  // namespace vch
