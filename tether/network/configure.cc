#include "tether/network/configure.h"

#include <sys/socket.h>

#include <algorithm>

#include "tether/boot/helper.h"
#include "tether/network/change.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using protocol::Stage;
using protocol::pb::Interface;
using protocol::pb::Network;

constexpr uint32_t kDefaultTimeoutMs = 10000;
constexpr uint32_t kMostTimeoutMs = 3600000;
constexpr int kWorkTimeoutMs = 10000;  // the kernel's answers, which come at once

uint32_t timeout_of(const Network& network) {
  const uint32_t wanted = network.interface_timeout_ms();
  return wanted == 0 ? kDefaultTimeoutMs : std::min(wanted, kMostTimeoutMs);
}

bool is_wanted(const Interface& wanted, const FoundInterface& found) {
  if (!wanted.pci_address().empty()) return wanted.pci_address() == found.pci_address;
  const auto mac = protocol::parse_mac(wanted.mac());
  return mac && protocol::to_text(*mac) == found.mac;
}

std::string describe(const std::vector<FoundInterface>& found) {
  if (found.empty()) return "none is attached";
  std::string text = "attached:";
  for (const FoundInterface& one : found) {
    text += " " + one.name + " " + one.mac;
    if (!one.pci_address.empty()) text += " at " + one.pci_address;
  }
  return text;
}

// All of them, in the configuration's order.
StageResult<std::vector<FoundInterface>> find_interfaces(const Network& network,
                                                         NetworkSystem& system,
                                                         const DeviceWait& wait) {
  const uint32_t timeout = timeout_of(network);
  const uint64_t deadline = now_ms() + timeout;
  for (;;) {
    const auto present = system.interfaces();
    std::vector<FoundInterface> found;
    for (const Interface& wanted : network.interfaces()) {
      const auto match = std::find_if(present.begin(), present.end(),
                                      [&](const auto& one) { return is_wanted(wanted, one); });
      if (match == present.end()) break;
      found.push_back(*match);
    }
    const auto count = static_cast<int>(found.size());
    if (count == network.interfaces_size()) return found;
    if (wait(deadline)) continue;
    const Interface& missing = network.interfaces(count);
    const std::string& which = missing.mac().empty() ? missing.pci_address() : missing.mac();
    return StageError{
        Stage::kFindInterface,
        common::make_error(ENODEV, "find", missing.name() + " " + which,
                           "not within " + std::to_string(timeout) + " ms; " + describe(present))};
  }
}

StageResult<void> check(int failed, const std::string& name, const std::string& what,
                        const char* hint) {
  if (failed == 0) return {};
  return StageError{Stage::kConfigureInterface,
                    common::make_error(failed, "set", name + ": " + what, hint)};
}

// Two may want each other's names, so all of them first get one that nobody wants.
StageResult<void> rename_all(const Network& network, const std::vector<FoundInterface>& found,
                             NetworkSystem& system) {
  for (const bool last : {false, true}) {
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string& wanted = network.interfaces(static_cast<int>(i)).name();
      if (found[i].name == wanted) continue;
      const std::string name = last ? wanted : "tether-" + std::to_string(found[i].index);
      auto done = check(system.rename(found[i].index, name), found[i].name, "the name " + name,
                        "another interface may have it; name that one in the configuration too");
      if (done.has_error()) return done;
    }
  }
  return {};
}

// Before anything is up.
StageResult<void> set_policies(const Network& network, NetworkSystem& system) {
  const auto guarded =
      std::find_if(network.interfaces().begin(), network.interfaces().end(),
                   [](const Interface& one) { return one.policy() != tether::v1::OPEN; });
  if (guarded == network.interfaces().end()) return {};
  if (const int failed = system.set_firewall(network); failed != 0) {
    return StageError{Stage::kFirewall,
                      common::make_error(failed, "set", guarded->name(),
                                         "the kernel may lack nf_tables, conntrack or reject")};
  }
  return {};
}

StageResult<void> add_routes(const Interface& interface, unsigned index, NetworkSystem& system) {
  for (const auto& wanted : interface.routes()) {
    IpRoute route;
    route.destination = *protocol::parse_prefix(wanted.destination());
    if (!wanted.gateway().empty()) route.gateway = *protocol::parse_address(wanted.gateway());
    route.metric = wanted.metric();
    std::string what = "route " + wanted.destination();
    if (!wanted.gateway().empty()) what += " via " + wanted.gateway();
    auto done = check(system.add_route(index, route), interface.name(), what,
                      "a gateway must lie in a network of one of the interface's addresses");
    if (done.has_error()) return done;
  }
  return {};
}

StageResult<void> configure(const Interface& interface, unsigned index, NetworkSystem& system) {
  const std::string& name = interface.name();
  auto done = check(system.set_advertised(name, interface.advertised()), name,
                    "router advertisements", "the kernel may lack IPv6");
  if (done.has_error()) return done;
  const std::string up =
      interface.mtu() == 0 ? "up" : "up with MTU " + std::to_string(interface.mtu());
  done = check(system.bring_up(index, interface.mtu()), name, up,
               "the device or its host may not go as far as the MTU");
  if (done.has_error()) return done;
  for (const std::string& text : interface.addresses()) {
    const auto address = *protocol::parse_prefix(text);
    done = check(system.add_address(index, address), name, "address " + text,
                 "want an address that a host can have");
    if (done.has_error()) return done;
    // What neighbours remember of an address wears off anyway: worth trying, not worth failing.
    (void)system.announce(index, address.address);
  }
  return add_routes(interface, index, system);
}

}  // namespace

StageResult<void> configure_network(const Network& network, NetworkSystem& system,
                                    const DeviceWait& wait) {
  const auto found = find_interfaces(network, system, wait);
  if (found.has_error()) return found.error();
  if (auto done = rename_all(network, *found, system); done.has_error()) return done;
  if (auto done = set_policies(network, system); done.has_error()) return done;
  for (size_t i = 0; i < found->size(); ++i) {
    auto done = configure(network.interfaces(static_cast<int>(i)), (*found)[i].index, system);
    if (done.has_error()) return done;
  }
  return {};
}

StageResult<void> set_up_network(const Network& network) {
  if (network.interfaces_size() == 0) return {};
  return run_helper(Stage::kConfigureInterface, "the network",
                    static_cast<int>(timeout_of(network)) + kWorkTimeoutMs, [&network] {
                      remember_network(network);
                      return configure_network(network, kernel_network(), kernel_announcements());
                    });
}

}  // namespace tether
