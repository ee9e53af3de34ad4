#include "protocol/config_network.h"

#include <sys/socket.h>

#include <algorithm>
#include <set>
#include <string>

#include "protocol/address.h"
#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr size_t kMaxName = 15;  // the kernel's IFNAMSIZ - 1
constexpr int kMaxEntries = 256;
constexpr int kMaxPorts = 1024;
constexpr int kMostServers = 16;
constexpr uint32_t kLeastMtu = 68;
constexpr uint32_t kLeastMtu6 = 1280;
constexpr uint32_t kMostMtu = 65535;

// "0000:00:05.0"
bool good_pci_address(std::string_view text) {
  constexpr std::string_view kShape = "xxxx:xx:xx.x";
  if (text.size() != kShape.size()) return false;
  for (size_t i = 0; i < kShape.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (kShape[i] == 'x' ? !hex : c != kShape[i]) return false;
  }
  return true;
}

class NetworkRules {
 public:
  explicit NetworkRules(Problems& out) : out_(out) {}
  void check_interface(const pb::Interface& interface, const std::string& field);
  void check_names(const pb::Network& network);
  void refuse(const std::string& field, std::string_view value, std::string_view want);

 private:
  void check_which(const pb::Interface& interface, const std::string& field);
  void check_addresses(const pb::Interface& interface, const std::string& field);
  void check_routes(const pb::Interface& interface, const std::string& field);
  void check_policy(const pb::Interface& interface, const std::string& field);
  // Notes it; false, and refused, when it was there already.
  void once(const std::string& field, const std::string& what);
  Problems& out_;
  std::set<std::string> seen_;
};

void NetworkRules::refuse(const std::string& field, std::string_view value, std::string_view want) {
  out_.refuse("network." + field, quoted(value) + ", want " + std::string(want));
}

void NetworkRules::once(const std::string& field, const std::string& what) {
  if (!seen_.insert(what).second) refuse(field, what, "it given once");
}

bool good_interface_name(std::string_view name) {
  const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '/' || c == ':' || c == '%'; };
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." && name != "lo" &&
         name != "all" && name != "default" && std::none_of(name.begin(), name.end(), bad);
}

void NetworkRules::check_routes(const pb::Interface& interface, const std::string& field) {
  for (int i = 0; i < interface.routes_size(); ++i) {
    const auto& route = interface.routes(i);
    const std::string name = element(field + ".routes", i);
    const auto destination = parse_prefix(route.destination());
    if (!destination || network_of(*destination) != *destination) {
      refuse(name + ".destination", route.destination(), "a network as 10.0.0.0/8");
      continue;
    }
    // The kernel keeps one of two that differ in nothing else.
    once(name, "route " + to_text(*destination) + " metric " + std::to_string(route.metric()));
    if (route.gateway().empty()) continue;
    const auto gateway = parse_address(route.gateway());
    if (!gateway || gateway->family != destination->address.family) {
      refuse(name + ".gateway", route.gateway(), "an address of the destination's family");
    }
  }
}

void NetworkRules::check_which(const pb::Interface& interface, const std::string& field) {
  if (interface.mac().empty() == interface.pci_address().empty()) {
    refuse(field + ".mac", interface.mac(), "a MAC or else a pci_address");
  } else if (!interface.mac().empty() && !parse_mac(interface.mac())) {
    refuse(field + ".mac", interface.mac(), "one as 02:00:5e:10:00:01, not a group's");
  } else if (!interface.pci_address().empty() && !good_pci_address(interface.pci_address())) {
    refuse(field + ".pci_address", interface.pci_address(), "one as 0000:00:05.0");
  } else {
    once(field, interface.mac() + interface.pci_address());
  }
  if (good_interface_name(interface.name())) {
    once(field, interface.name());
  } else {
    refuse(field + ".name", interface.name(),
           "1 to 15 characters without blanks, '/', ':' and '%'");
  }
}

void NetworkRules::check_addresses(const pb::Interface& interface, const std::string& field) {
  bool six = interface.advertised();
  for (int i = 0; i < interface.addresses_size(); ++i) {
    const std::string name = element(field + ".addresses", i);
    const auto prefix = parse_prefix(interface.addresses(i));
    if (!prefix) {
      refuse(name, interface.addresses(i), "an address as 10.0.2.15/24 or fec0::15/64");
      continue;
    }
    once(name, to_text(prefix->address));
    six = six || prefix->address.family == AF_INET6;
  }
  const uint32_t mtu = interface.mtu();
  if (mtu != 0 && (mtu < kLeastMtu || mtu > kMostMtu)) {
    refuse(field + ".mtu", std::to_string(mtu), "68 to 65535");
  } else if (mtu != 0 && six && mtu < kLeastMtu6) {
    refuse(field + ".mtu", std::to_string(mtu), "at least 1280, as IPv6 needs");
  }
}

void NetworkRules::check_policy(const pb::Interface& interface, const std::string& field) {
  if (interface.policy() < 0 || interface.policy() > pb::PUBLISHED) {
    return refuse(field + ".policy", std::to_string(interface.policy()),
                  "OPEN, CLOSED, OUTBOUND, PEERS or PUBLISHED");
  }
  if (interface.policy() == pb::PEERS && (interface.dhcp() || interface.advertised())) {
    refuse(field + ".policy", "PEERS", "addresses that are known: no dhcp, no advertised");
  }
  if (interface.published_size() > kMaxPorts) {
    return refuse(field + ".published", std::to_string(interface.published_size()),
                  "at most 1024 ports");
  }
  if (interface.published_size() > 0 && interface.policy() != pb::PUBLISHED) {
    refuse(field + ".published", std::to_string(interface.published_size()) + " ports",
           "the policy PUBLISHED, which alone reads them");
  }
  for (const auto& port : interface.published()) {
    if (port.port() >= 1 && port.port() <= 65535) continue;
    refuse(field + ".published", std::to_string(port.port()), "1 to 65535");
  }
}

void NetworkRules::check_interface(const pb::Interface& interface, const std::string& field) {
  check_which(interface, field);
  check_addresses(interface, field);
  check_policy(interface, field);
  if (interface.name_servers_size() > kMostServers) {
    refuse(field + ".name_servers", std::to_string(interface.name_servers_size()), "at most 16");
  }
  for (const std::string& server : interface.name_servers()) {
    if (!parse_address(server)) refuse(field + ".name_servers", server, "an address");
  }
  check_routes(interface, field);
}

void NetworkRules::check_names(const pb::Network& network) {
  for (const std::string& server : network.name_servers()) {
    if (!parse_address(server)) refuse("name_servers", server, "an address");
  }
  for (const std::string& domain : network.search()) {
    if (!good_host_name(domain)) refuse("search", domain, "a domain's name");
  }
  for (const std::string& option : network.resolver_options()) {
    if (!good_host_name(option)) refuse("resolver_options", option, "one as ndots:2");
  }
  for (const auto& host : network.hosts()) {
    if (!parse_address(host.address())) refuse("hosts", host.address(), "an address");
    if (!good_host_name(host.name())) refuse("hosts", host.name(), "a host's name");
  }
}

}  // namespace

bool good_host_name(std::string_view name) {
  const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
  return !name.empty() && name.size() <= 253 && std::none_of(name.begin(), name.end(), bad);
}

void check_network(const pb::Network& network, Problems& out) {
  NetworkRules rules(out);
  if (network.interfaces_size() > kMaxInterfaces) {
    return rules.refuse("interfaces", std::to_string(network.interfaces_size()), "at most 8");
  }
  if (std::max({network.name_servers_size(), network.search_size(), network.resolver_options_size(),
                network.hosts_size()}) > kMaxEntries) {
    return rules.refuse("hosts", "more than 256", "at most 256 of each list");
  }
  for (int i = 0; i < network.interfaces_size(); ++i) {
    rules.check_interface(network.interfaces(i), element("interfaces", i));
  }
  rules.check_names(network);
}

common::Status check_network(const pb::Network& network) {
  Problems problems;
  check_network(network, problems);
  return problems.first();
}

}  // namespace protocol
