#include "vch/network/network_flags.h"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "protocol/address.h"
#include "protocol/config_network.h"
#include "vch/network/user_network.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using protocol::pb::Interface;

constexpr size_t kMostPorts = 256;
constexpr std::string_view kBridge = "bridge:";
constexpr uint32_t kMetricStep = 100;  // of each further interface's default route

constexpr std::pair<const char*, tether::v1::FirewallPolicy> kPolicies[] = {
    {"open", tether::v1::OPEN},
    {"closed", tether::v1::CLOSED},
    {"outbound", tether::v1::OUTBOUND},
    {"peers", tether::v1::PEERS},
    {"published", tether::v1::PUBLISHED}};

common::Error refuse(const std::string& flag, const std::string& text, const std::string& why) {
  return make_error(EINVAL, flag, "'" + text + "'", why);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> words;
  for (size_t i = 0;;) {
    const size_t end = text.find(separator, i);
    words.push_back(text.substr(i, end - i));
    if (end == std::string::npos) return words;
    i = end + 1;
  }
}

// "10.9.0.0/16 via 10.1.2.1", as `ip route` says it.
bool set_route(const std::string& value, Interface& interface) {
  constexpr std::string_view kVia = " via ";
  const size_t via = value.find(kVia);
  auto* route = interface.add_routes();
  route->set_destination(value.substr(0, via));
  if (via != std::string::npos) route->set_gateway(value.substr(via + kVia.size()));
  const auto destination = protocol::parse_prefix(route->destination());
  return destination && (via == std::string::npos || protocol::parse_address(route->gateway()));
}

bool set_policy(const std::string& value, Interface& interface) {
  for (const auto& [name, policy] : kPolicies) {
    if (value == name) {
      interface.set_policy(policy);
      return true;
    }
  }
  return false;
}

bool set_mtu(const std::string& value, Interface& interface) {
  uint32_t mtu = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), mtu);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) return false;
  interface.set_mtu(mtu);
  return mtu >= 68 && mtu <= 65535;
}

Status set_option(const std::string& text, const std::string& word, NetworkFlag& flag) {
  const size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  Interface& interface = flag.interface;
  const auto no = [&](const char* want) {
    return refuse("--network", text, key + ": want " + want);
  };
  if (key == "ip") {
    if (!protocol::parse_prefix(value) || value.find('/') == std::string::npos) {
      return no("an address with its network's length, as 10.1.2.3/24");
    }
    interface.add_addresses(value);
  } else if (key == "gateway") {
    if (!protocol::parse_address(value)) return no("an address");
    flag.gateways.push_back(value);
  } else if (key == "route") {
    if (!set_route(value, interface)) return no("NETWORK/LENGTH or NETWORK/LENGTH via ADDRESS");
  } else if (key == "mac") {
    if (!protocol::parse_mac(value)) return no("one as 02:00:5e:10:00:01, not a group's");
    interface.set_mac(value);
  } else if (key == "mtu") {
    if (!set_mtu(value, interface)) return no("68 to 65535");
  } else if (key == "policy") {
    if (!set_policy(value, interface)) return no("open, closed, outbound, peers or published");
  } else if (key == "interface") {
    interface.set_name(value);
  } else if (word == "dhcp") {
    interface.set_dhcp(true);
  } else {
    return refuse("--network", text,
                  "unknown '" + word +
                      "'; there are ip=, gateway=, route=, mac=, mtu=, policy=, interface=, dhcp");
  }
  return {};
}

// Of one network: MAC, name, and what its kind gives it.
void complete(NetworkFlag& flag, const std::string& id, size_t index, uint32_t users) {
  Interface& interface = flag.interface;
  NetworkAttachment& attachment = flag.attachment;
  if (interface.mac().empty()) {
    // The second digit says: given by whoever runs it, a single one.
    std::string mac = "02";
    for (size_t i = 0; i < 8; i += 2) mac += ":" + id.substr(i, 2);
    static constexpr char kDigits[] = "0123456789abcdef";
    interface.set_mac(mac + ":" + std::string{id[8], kDigits[index % 16]});
  }
  if (interface.name().empty()) interface.set_name("eth" + std::to_string(index));
  attachment.mac = interface.mac();
  attachment.name = interface.name();
  if (attachment.kind == "user") {
    attachment.subnet = users;
    const UserNetwork user(users);
    if (!interface.dhcp()) {
      interface.add_addresses(user.address);
      interface.add_name_servers(user.name_server);
      flag.gateways.push_back(user.gateway);
    }
    interface.add_addresses(user.address6);
    flag.gateways.push_back(user.gateway6);
  } else {
    const auto has = [&interface](int family) {
      return std::any_of(
          interface.addresses().begin(), interface.addresses().end(),
          [&](const auto& text) { return protocol::parse_prefix(text)->address.family == family; });
    };
    if (!has(AF_INET) && !has(AF_INET6)) interface.set_dhcp(true);
    interface.set_advertised(!has(AF_INET6) && interface.policy() != tether::v1::PEERS);
  }
  for (const std::string& gateway : flag.gateways) {
    auto* route = interface.add_routes();
    route->set_destination(protocol::parse_address(gateway)->family == AF_INET ? "0.0.0.0/0"
                                                                               : "::/0");
    route->set_gateway(gateway);
    if (index != 0) route->set_metric(kMetricStep * static_cast<uint32_t>(index));
  }
}

Status add_hosts(const NetworkFlags& flags, Networks& out) {
  for (const std::string& text : flags.add_hosts) {
    const size_t separator = text.find_first_of(":=");
    auto* host = out.config.add_hosts();
    host->set_name(text.substr(0, separator));
    if (separator != std::string::npos) host->set_address(text.substr(separator + 1));
    if (host->address() == "host-gateway") {
      if (out.attachments.empty() || out.attachments[0].kind != "user") {
        return refuse("--add-host", text, "only the network 'user' has the host at an address");
      }
      host->set_address(UserNetwork(0).gateway);
    }
    if (!protocol::good_host_name(host->name()) || !protocol::parse_address(host->address())) {
      return refuse("--add-host", text, "want NAME:ADDRESS");
    }
  }
  return {};
}

Status add_resolver(const NetworkFlags& flags, Networks& out) {
  for (const std::string& server : flags.dns) {
    if (!protocol::parse_address(server)) return refuse("--dns", server, "want an address");
    out.config.add_name_servers(server);
  }
  for (const std::string& domain : flags.dns_search) {
    if (!protocol::good_host_name(domain)) return refuse("--dns-search", domain, "want a domain");
    if (domain != ".") out.config.add_search(domain);  // Docker: none at all
  }
  for (const std::string& option : flags.dns_options) {
    if (!protocol::good_host_name(option)) {
      return refuse("--dns-option", option, "want one as ndots:2");
    }
    out.config.add_resolver_options(option);
  }
  return {};
}

Status add_ports(const NetworkFlags& flags, Networks& out) {
  for (const std::string& text : flags.ports) {
    ASSIGN_OR_RETURN(const auto ports, parse_port_flag(text));
    const auto by_user = std::any_of(out.attachments.begin(), out.attachments.end(),
                                     [](const auto& one) { return one.kind == "user"; });
    const auto published = [&out] {
      const auto& all = out.config.interfaces();
      return std::any_of(all.begin(), all.end(), [](const Interface& one) {
        return one.policy() == tether::v1::PUBLISHED;
      });
    };
    if (!by_user && (ports[0].host_port != 0 || !published())) {
      return refuse("-p", text,
                    "only the network 'user' has ports of the host; on a bridge the "
                    "container has an address of its own");
    }
    out.ports.insert(out.ports.end(), ports.begin(), ports.end());
    if (out.ports.size() > kMostPorts) return refuse("-p", text, "at most 256 ports");
  }
  for (Interface& interface : *out.config.mutable_interfaces()) {
    if (interface.policy() != tether::v1::PUBLISHED) continue;
    for (const PublishedPort& port : out.ports) {
      auto* open = interface.add_published();
      open->set_port(port.port);
      open->set_udp(port.udp);
    }
  }
  return {};
}

}  // namespace

Result<NetworkFlag> parse_network_flag(const std::string& text) {
  NetworkFlag flag;
  auto words = split(text, ',');
  std::string kind = words[0];
  if (kind.starts_with("name=")) kind.erase(0, 5);  // Docker's long form
  if (kind == "user" || kind == "default") {
    flag.attachment.kind = "user";
  } else if (kind.starts_with(kBridge) && kind.size() > kBridge.size()) {
    flag.attachment.kind = "bridge";
    flag.attachment.bridge = kind.substr(kBridge.size());
  } else {
    return refuse("--network", text,
                  "want none, user or bridge:NAME; a containerVM shares no network with its host");
  }
  for (size_t i = 1; i < words.size(); ++i) RETURN_IF_ERROR(set_option(text, words[i], flag));
  if (flag.attachment.kind == "user" &&
      (flag.interface.addresses_size() != 0 || !flag.gateways.empty())) {
    return refuse("--network", text, "user has its own addresses; ip= and gateway= need a bridge");
  }
  return flag;
}

Result<NetworkFlag> make_further_network(const std::string& text, const std::string& id,
                                         const std::vector<NetworkAttachment>& present) {
  ASSIGN_OR_RETURN(const NetworkFlag parsed, parse_network_flag(text));
  const auto taken = [&present](auto same) {
    return std::any_of(present.begin(), present.end(), same);
  };
  uint32_t subnet = 0;
  while (taken([&](const auto& one) { return one.kind == "user" && one.subnet == subnet; })) {
    ++subnet;
  }
  // The first number whose name and MAC are both free.
  for (size_t index = 0; index < protocol::kMaxInterfaces; ++index) {
    NetworkFlag flag = parsed;
    complete(flag, id, index, subnet);
    const NetworkAttachment& made = flag.attachment;
    if (!taken([&](const auto& one) { return one.name == made.name || one.mac == made.mac; })) {
      return flag;
    }
  }
  return refuse("--network", text,
                "the container has an interface of this name or MAC, or 8 of them");
}

Result<Networks> make_networks(const NetworkFlags& flags, const std::string& id) {
  Networks out;
  const auto wanted = flags.networks.empty() ? std::vector<std::string>{"user"} : flags.networks;
  const bool none = std::count(wanted.begin(), wanted.end(), "none") != 0;
  if (none && wanted.size() > 1) {
    return refuse("--network", "none", "it goes with no other network");
  }
  uint32_t users = 0;
  for (const std::string& text : wanted) {
    if (none) break;
    ASSIGN_OR_RETURN(NetworkFlag flag, parse_network_flag(text));
    complete(flag, id, out.attachments.size(), users);
    if (flag.attachment.kind == "user") ++users;
    out.attachments.push_back(std::move(flag.attachment));
    *out.config.add_interfaces() = std::move(flag.interface);
  }
  RETURN_IF_ERROR(add_hosts(flags, out));
  RETURN_IF_ERROR(add_resolver(flags, out));
  RETURN_IF_ERROR(add_ports(flags, out));
  return out;
}

}  // namespace vch
