// For tests: remembers what it was asked for, and fails call n with errno e.
#pragma once

#include <string>
#include <vector>

#include "tether/network/network_system.h"

namespace tether {

class FakeNetworkSystem : public NetworkSystem {
 public:
  void fail_call(size_t n, int errno_value) {
    failing_ = n;
    errno_ = errno_value;
  }

  std::vector<FoundInterface> interfaces() override { return present; }
  int rename(unsigned index, const std::string& name) override {
    for (const FoundInterface& other : present) {
      if (other.name == name) return EEXIST;
    }
    const int failed = done("rename " + std::to_string(index) + " " + name);
    for (FoundInterface& one : present) {
      if (failed == 0 && one.index == index) one.name = name;
    }
    return failed;
  }
  int set_advertised(const std::string& name, bool advertised) override {
    return done("advertised " + name + (advertised ? " yes" : " no"));
  }
  int set_firewall(const protocol::pb::Network& network) override {
    return done("firewall " + std::to_string(network.interfaces_size()));
  }
  int bring_up(unsigned index, uint32_t mtu) override {
    return done("up " + std::to_string(index) + " " + std::to_string(mtu));
  }
  int add_address(unsigned index, const protocol::IpPrefix& address) override {
    return done("address " + std::to_string(index) + " " + to_text(address));
  }
  int lease_address(unsigned index, const protocol::IpPrefix& address, uint32_t seconds) override {
    return done("lease " + std::to_string(index) + " " + to_text(address) + " " +
                std::to_string(seconds));
  }
  int add_route(unsigned index, const IpRoute& route) override {
    std::string text = "route " + std::to_string(index) + " " + to_text(route.destination);
    if (route.gateway.family != 0) text += " via " + to_text(route.gateway);
    if (route.metric != 0) text += " metric " + std::to_string(route.metric);
    return done(text);
  }
  int remove_address(unsigned index, const protocol::IpPrefix& address) override {
    return done("remove " + std::to_string(index) + " " + to_text(address));
  }
  bool has_address(const std::string& /*name*/) override { return false; }
  int retire(unsigned index) override { return done("retire " + std::to_string(index)); }
  int announce(unsigned index, const protocol::IpAddress& address) override {
    return done("announce " + std::to_string(index) + " " + to_text(address));
  }

  std::vector<FoundInterface> present;
  std::vector<std::string> calls;

 private:
  int done(std::string call) {
    calls.push_back(std::move(call));
    return calls.size() - 1 == failing_ ? errno_ : 0;
  }
  size_t failing_ = ~size_t{0};
  int errno_ = 0;
};

}  // namespace tether
