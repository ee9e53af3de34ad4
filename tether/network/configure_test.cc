#include "tether/network/configure.h"

#include <gmock/gmock.h>

#include "tether/network/fake_network_system.h"

namespace tether {
namespace {

using protocol::Stage;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFirst = "02:00:5e:10:00:01";
constexpr const char* kSecond = "02:00:5e:10:00:02";

bool never(uint64_t /*deadline_ms*/) { return false; }

protocol::pb::Network one_interface() {
  protocol::pb::Network network;
  auto* interface = network.add_interfaces();
  interface->set_mac(kFirst);
  interface->set_name("eth0");
  interface->set_mtu(1400);
  interface->add_addresses("10.0.2.15/24");
  interface->add_addresses("fec0::15/64");
  auto* route = interface->add_routes();
  route->set_destination("0.0.0.0/0");
  route->set_gateway("10.0.2.2");
  route = interface->add_routes();
  route->set_destination("192.0.2.0/24");
  route->set_metric(7);
  return network;
}

TEST(ConfigureNetwork, AnInterfaceGetsAllThatItWasGiven) {
  FakeNetworkSystem system;
  system.present = {{2, "enp0s5", kFirst, "0000:00:05.0"}};
  ASSERT_TRUE(configure_network(one_interface(), system, never).has_value());
  EXPECT_THAT(system.calls,
              ElementsAre("rename 2 tether-2", "rename 2 eth0", "advertised eth0 no", "up 2 1400",
                          "address 2 10.0.2.15/24", "announce 2 10.0.2.15", "address 2 fec0::15/64",
                          "announce 2 fec0::15", "route 2 0.0.0.0/0 via 10.0.2.2",
                          "route 2 192.0.2.0/24 metric 7"));
}

TEST(ConfigureNetwork, TwoMayWantEachOthersNames) {
  protocol::pb::Network network;
  for (const auto& [mac, name] : {std::pair{kSecond, "eth0"}, std::pair{kFirst, "eth1"}}) {
    network.add_interfaces()->set_mac(mac);
    network.mutable_interfaces()->rbegin()->set_name(name);
  }
  FakeNetworkSystem system;
  system.present = {{2, "eth0", kFirst, ""}, {3, "eth1", kSecond, ""}};
  ASSERT_TRUE(configure_network(network, system, never).has_value());
  EXPECT_EQ(system.present[0].name, "eth1");
  EXPECT_EQ(system.present[1].name, "eth0");
}

TEST(ConfigureNetwork, OneIsFoundByItsPlaceOnThePciBus) {
  protocol::pb::Network network;
  network.add_interfaces()->set_pci_address("0000:00:06.0");
  network.mutable_interfaces(0)->set_name("lan");
  FakeNetworkSystem system;
  system.present = {{2, "eth0", kFirst, "0000:00:05.0"}, {3, "eth1", kSecond, "0000:00:06.0"}};
  ASSERT_TRUE(configure_network(network, system, never).has_value());
  EXPECT_EQ(system.present[1].name, "lan");
}

TEST(ConfigureNetwork, OneThatComesLateIsWaitedFor) {
  FakeNetworkSystem system;
  int waits = 0;
  const auto done = configure_network(one_interface(), system, [&](uint64_t /*deadline*/) {
    if (++waits == 2) system.present = {{2, "eth0", kFirst, ""}};
    return waits <= 2;
  });
  EXPECT_TRUE(done.has_value());
  EXPECT_EQ(waits, 2);
}

TEST(ConfigureNetwork, OneThatNeverComesIsNamedWithThoseThatAreThere) {
  FakeNetworkSystem system;
  system.present = {{2, "eth0", kSecond, "0000:00:05.0"}};
  const auto done = configure_network(one_interface(), system, never);
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kFindInterface);
  EXPECT_EQ(done.error().error.code.value(), ENODEV);
  EXPECT_THAT(done.error().error.object, HasSubstr(kFirst));
  EXPECT_THAT(done.error().error.detail, HasSubstr("eth0 02:00:5e:10:00:02 at 0000:00:05.0"));
}

TEST(ConfigureNetwork, NothingIsUpBeforeItIsGuarded) {
  auto network = one_interface();
  network.mutable_interfaces(0)->set_policy(tether::v1::OUTBOUND);
  FakeNetworkSystem system;
  system.present = {{2, "eth0", kFirst, ""}};
  ASSERT_TRUE(configure_network(network, system, never).has_value());
  EXPECT_EQ(system.calls[0], "firewall 1");
  FakeNetworkSystem failing;
  failing.present = system.present;
  failing.fail_call(0, EOPNOTSUPP);
  const auto done = configure_network(network, failing, never);
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kFirewall);
  EXPECT_EQ(done.error().error.object, "eth0");
  EXPECT_EQ(failing.calls.size(), 1U);
}

TEST(ConfigureNetwork, EachCallMayFailAndSaysOnWhat) {
  auto network = one_interface();
  auto* other = network.add_interfaces();
  other->set_mac(kSecond);
  other->set_name("lan");
  other->set_policy(tether::v1::CLOSED);
  other->set_advertised(true);
  other->add_addresses("10.0.3.15/24");
  const std::vector<FoundInterface> present = {{2, "enp0s5", kFirst, ""}, {3, "x", kSecond, ""}};
  FakeNetworkSystem whole;
  whole.present = present;
  ASSERT_TRUE(configure_network(network, whole, never).has_value());
  // What each failure names, in the order of the calls; nothing: it is passed over.
  const std::vector<std::string> objects = {"enp0s5: the name tether-2",
                                            "x: the name tether-3",
                                            "enp0s5: the name eth0",
                                            "x: the name lan",
                                            "lan",
                                            "eth0: router advertisements",
                                            "eth0: up with MTU 1400",
                                            "eth0: address 10.0.2.15/24",
                                            "",
                                            "eth0: address fec0::15/64",
                                            "",
                                            "eth0: route 0.0.0.0/0 via 10.0.2.2",
                                            "eth0: route 192.0.2.0/24",
                                            "lan: router advertisements",
                                            "lan: up",
                                            "lan: address 10.0.3.15/24",
                                            ""};
  ASSERT_EQ(whole.calls.size(), objects.size());
  for (size_t n = 0; n < whole.calls.size(); ++n) {
    SCOPED_TRACE(whole.calls[n]);
    EXPECT_EQ(whole.calls[n].starts_with("announce "), objects[n].empty());
    FakeNetworkSystem system;
    system.present = present;
    system.fail_call(n, EPERM);
    const auto done = configure_network(network, system, never);
    if (objects[n].empty()) {
      EXPECT_TRUE(done.has_value());
      EXPECT_EQ(system.calls, whole.calls);
      continue;
    }
    ASSERT_TRUE(done.has_error());
    const bool rules = whole.calls[n].starts_with("firewall ");
    EXPECT_EQ(done.error().stage, rules ? Stage::kFirewall : Stage::kConfigureInterface);
    EXPECT_EQ(done.error().error.code.value(), EPERM);
    EXPECT_EQ(done.error().error.object, objects[n]);
    EXPECT_FALSE(done.error().error.detail.empty());
    EXPECT_EQ(system.calls.size(), n + 1) << "it went on";
  }
}

}  // namespace
}  // namespace tether
