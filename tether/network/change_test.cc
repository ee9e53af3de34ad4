#include "tether/network/change.h"

#include <gmock/gmock.h>

#include <cstring>

#include "tether/network/fake_network_system.h"

namespace tether {
namespace {

using protocol::Stage;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kMac = "02:00:5e:10:00:02";

bool never(uint64_t /*deadline_ms*/) { return false; }

protocol::pb::Interface interface(const std::string& name, const std::string& mac) {
  protocol::pb::Interface out;
  out.set_name(name);
  out.set_mac(mac);
  return out;
}

protocol::pb::Network present() {
  protocol::pb::Network network;
  *network.add_interfaces() = interface("eth0", "02:00:5e:10:00:01");
  return network;
}

TEST(NetworkChange, AGuardedInterfaceIsGuardedBeforeItIsUp) {
  auto network = present();
  auto wanted = interface("eth1", kMac);
  wanted.set_policy(tether::v1::OUTBOUND);
  wanted.add_addresses("10.0.3.15/24");
  FakeNetworkSystem system;
  system.present = {{3, "enp1s0", kMac, ""}};
  ASSERT_TRUE(connect_interface(network, wanted, system, never).has_value());
  EXPECT_THAT(system.calls,
              ElementsAre("firewall 2", "rename 3 tether-3", "rename 3 eth1", "advertised eth1 no",
                          "up 3 0", "address 3 10.0.3.15/24", "announce 3 10.0.3.15"));
  EXPECT_EQ(network.interfaces_size(), 2);
  // The host asks again when it does not know what came of it.
  system.calls.clear();
  ASSERT_TRUE(connect_interface(network, wanted, system, never).has_value());
  EXPECT_TRUE(system.calls.empty());
}

TEST(NetworkChange, EveryCallMayFailAndNothingIsConnected) {
  for (size_t n = 0; n < 6; ++n) {
    auto network = present();
    auto wanted = interface("eth1", kMac);
    wanted.set_policy(tether::v1::CLOSED);
    wanted.add_addresses("10.0.3.15/24");
    FakeNetworkSystem system;
    system.present = {{3, "enp1s0", kMac, ""}};
    system.fail_call(n, EIO);
    const auto done = connect_interface(network, wanted, system, never);
    ASSERT_TRUE(done.has_error()) << n;
    EXPECT_EQ(done.error().stage, n == 0 ? Stage::kFirewall : Stage::kConfigureInterface) << n;
    EXPECT_EQ(done.error().error.code.value(), EIO);
    EXPECT_FALSE(done.error().error.detail.empty()) << n;
    EXPECT_EQ(network.interfaces_size(), 1);
    if (n > 0) {
      EXPECT_EQ(system.calls.back(), "firewall 1");
    }
  }
}

TEST(NetworkChange, WhatCannotBeConnectedIsNamed) {
  auto network = present();
  FakeNetworkSystem system;
  const auto twice = connect_interface(network, interface("eth0", kMac), system, never);
  ASSERT_TRUE(twice.has_error());
  EXPECT_EQ(twice.error().stage, Stage::kCheckConfig);
  const auto missing = connect_interface(network, interface("eth1", kMac), system, never);
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().stage, Stage::kFindInterface);
  EXPECT_THAT(missing.error().error.object, HasSubstr(kMac));
}

TEST(NetworkChange, OneIsLetGoOfByItsName) {
  auto network = present();
  network.mutable_interfaces(0)->set_policy(tether::v1::CLOSED);
  FakeNetworkSystem system;
  system.present = {{2, "eth0", "02:00:5e:10:00:01", ""}};
  const auto unknown = disconnect_interface(network, "eth7", system);
  ASSERT_TRUE(unknown.has_error());
  EXPECT_EQ(unknown.error().error.code.value(), ENOENT);
  EXPECT_THAT(unknown.error().error.detail, HasSubstr("eth0"));
  ASSERT_TRUE(disconnect_interface(network, "eth0", system).has_value());
  EXPECT_THAT(system.calls, ElementsAre("retire 2", "firewall 0"));
  EXPECT_EQ(network.interfaces_size(), 0);
}

TEST(NetworkChange, WhatMakesNoSenseIsNotBelieved) {
  NetworkChange change;
  std::strcpy(change.name.data(), "eth1");
  EXPECT_TRUE(is_sound(change));
  change.count = 9;
  EXPECT_FALSE(is_sound(change));
  change.count = 1;
  EXPECT_FALSE(is_sound(change));
  std::strcpy(change.addresses[0].data(), "10.0.3.15/24");
  EXPECT_TRUE(is_sound(change));
  change.addresses[0].fill('1');
  EXPECT_FALSE(is_sound(change));
  change.count = 0;
  change.name.fill('x');
  EXPECT_FALSE(is_sound(change));
}

}  // namespace
}  // namespace tether
