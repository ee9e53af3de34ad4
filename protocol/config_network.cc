#include "protocol/config_network.h"

#include <algorithm>
#include <set>
#include <string>

#include "protocol/address.h"
#include "protocol/config.h"

namespace protocol {
namespace {

using common::Status;

constexpr size_t kMaxName = 15;  // the kernel's IFNAMSIZ - 1
constexpr int kMaxEntries = 256;
constexpr int kMaxPorts = 1024;
constexpr uint32_t kLeastMtu = 68;
constexpr uint32_t kMostMtu = 65535;

common::Error refuse(const std::string& field, std::string_view value, std::string_view want) {
  std::string why = "'";
  why += common::escape(value.substr(0, 80));
  why += "', want ";
  why += want;
  return common::make_error(EINVAL, "config field", "network." + field, std::move(why));
}

bool good_interface_name(std::string_view name) {
  const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '/' || c == ':' || c == '%'; };
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." && name != "lo" &&
         name != "all" && name != "default" && std::none_of(name.begin(), name.end(), bad);
}

Status check_routes(const pb::Interface& interface, const std::string& field) {
  for (int i = 0; i < interface.routes_size(); ++i) {
    const auto& route = interface.routes(i);
    const std::string name = field + ".routes[" + std::to_string(i) + "]";
    const auto destination = parse_prefix(route.destination());
    if (!destination || network_of(*destination) != *destination) {
      return refuse(name + ".destination", route.destination(), "a network as 10.0.0.0/8");
    }
    if (route.gateway().empty()) continue;
    const auto gateway = parse_address(route.gateway());
    if (!gateway || gateway->family != destination->address.family) {
      return refuse(name + ".gateway", route.gateway(), "an address of the destination's family");
    }
  }
  return {};
}

Status check_interface(const pb::Interface& interface, const std::string& field) {
  if (interface.mac().empty() == interface.pci_address().empty()) {
    return refuse(field + ".mac", interface.mac(), "a MAC or else a pci_address");
  }
  if (!interface.mac().empty() && !parse_mac(interface.mac())) {
    return refuse(field + ".mac", interface.mac(), "one as 02:00:5e:10:00:01, not a group's");
  }
  if (!good_interface_name(interface.name())) {
    return refuse(field + ".name", interface.name(),
                  "1 to 15 characters without blanks, '/', ':' and '%'");
  }
  for (int i = 0; i < interface.addresses_size(); ++i) {
    if (parse_prefix(interface.addresses(i))) continue;
    return refuse(field + ".addresses[" + std::to_string(i) + "]", interface.addresses(i),
                  "an address as 10.0.2.15/24 or fec0::15/64");
  }
  if (interface.mtu() != 0 && (interface.mtu() < kLeastMtu || interface.mtu() > kMostMtu)) {
    return refuse(field + ".mtu", std::to_string(interface.mtu()), "68 to 65535");
  }
  if (interface.policy() < 0 || interface.policy() > pb::PUBLISHED) {
    return refuse(field + ".policy", std::to_string(interface.policy()),
                  "OPEN, CLOSED, OUTBOUND, PEERS or PUBLISHED");
  }
  if (interface.policy() == pb::PEERS && (interface.dhcp() || interface.advertised())) {
    return refuse(field + ".policy", "PEERS", "addresses that are known: no dhcp, no advertised");
  }
  if (interface.published_size() > kMaxPorts) {
    return refuse(field + ".published", std::to_string(interface.published_size()),
                  "at most 1024 ports");
  }
  for (const auto& port : interface.published()) {
    if (port.port() >= 1 && port.port() <= 65535) continue;
    return refuse(field + ".published", std::to_string(port.port()), "1 to 65535");
  }
  return check_routes(interface, field);
}

Status check_names(const pb::Network& network) {
  for (const std::string& server : network.name_servers()) {
    if (!parse_address(server)) return refuse("name_servers", server, "an address");
  }
  for (const std::string& domain : network.search()) {
    if (!good_host_name(domain)) return refuse("search", domain, "a domain's name");
  }
  for (const std::string& option : network.resolver_options()) {
    if (!good_host_name(option)) return refuse("resolver_options", option, "one as ndots:2");
  }
  for (const auto& host : network.hosts()) {
    if (!parse_address(host.address())) return refuse("hosts", host.address(), "an address");
    if (!good_host_name(host.name())) return refuse("hosts", host.name(), "a host's name");
  }
  return {};
}

}  // namespace

bool good_host_name(std::string_view name) {
  const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
  return !name.empty() && name.size() <= 253 && std::none_of(name.begin(), name.end(), bad);
}

Status check_network(const pb::Network& network) {
  if (network.interfaces_size() > kMaxInterfaces) {
    return refuse("interfaces", std::to_string(network.interfaces_size()), "at most 8");
  }
  if (std::max({network.name_servers_size(), network.search_size(), network.resolver_options_size(),
                network.hosts_size()}) > kMaxEntries) {
    return refuse("hosts", "more than 256", "at most 256 of each list");
  }
  std::set<std::string> seen;
  for (int i = 0; i < network.interfaces_size(); ++i) {
    const auto& interface = network.interfaces(i);
    const std::string field = "interfaces[" + std::to_string(i) + "]";
    RETURN_IF_ERROR(check_interface(interface, field));
    for (const std::string& value : {interface.name(), interface.mac() + interface.pci_address()}) {
      if (!seen.insert(value).second) return refuse(field, value, "it given once");
    }
  }
  return check_names(network);
}

}  // namespace protocol
