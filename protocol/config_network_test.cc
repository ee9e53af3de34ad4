#include "protocol/config_network.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>

#include "protocol/address.h"

namespace protocol {
namespace {

namespace pb = ::tether::v1;

TEST(Address, ReadsBothFamiliesAndNothingElse) {
  const auto v4 = parse_prefix("10.0.2.15/24");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->address.family, AF_INET);
  EXPECT_EQ(to_text(*v4), "10.0.2.15/24");
  EXPECT_EQ(to_text(network_of(*v4)), "10.0.2.0/24");
  EXPECT_EQ(to_text(*parse_prefix("fec0::15/64")), "fec0::15/64");
  EXPECT_EQ(parse_prefix("10.0.2.15")->length, 32U);
  EXPECT_EQ(parse_prefix("::1")->length, 128U);
  for (const char* bad : {"", "10.0.2", "10.0.2.15/33", "10.0.2.15/", "10.0.2.15/2x", "::/129",
                          " 10.0.2.15", "[::1]", "fe80::1%eth0", "host"}) {
    EXPECT_FALSE(parse_prefix(bad)) << bad;
  }
}

TEST(Address, KnowsWhatLiesInANetwork) {
  const auto network = *parse_prefix("10.0.2.0/23");
  EXPECT_TRUE(contains(network, *parse_address("10.0.3.255")));
  EXPECT_FALSE(contains(network, *parse_address("10.0.4.0")));
  EXPECT_FALSE(contains(network, *parse_address("::1")));
  EXPECT_TRUE(contains(*parse_prefix("0.0.0.0/0"), *parse_address("192.0.2.1")));
}

TEST(Address, AMacIsOneInterfaces) {
  EXPECT_EQ(to_text(*parse_mac("02:00:5E:10:00:01")), "02:00:5e:10:00:01");
  for (const char* bad : {"", "02:00:5e:10:00", "02-00-5e-10-00-01", "01:00:5e:10:00:01",
                          "00:00:00:00:00:00", "02:00:5e:10:00:0g", "02:00:5e:10:00:01:02"}) {
    EXPECT_FALSE(parse_mac(bad)) << bad;
  }
}

pb::Network good() {
  pb::Network network;
  auto* interface = network.add_interfaces();
  interface->set_mac("02:00:5e:10:00:01");
  interface->set_name("eth0");
  interface->add_addresses("10.0.2.15/24");
  auto* route = interface->add_routes();
  route->set_destination("0.0.0.0/0");
  route->set_gateway("10.0.2.2");
  network.add_name_servers("10.0.2.3");
  return network;
}

TEST(ConfigNetwork, WhatIsGoodIsTaken) {
  EXPECT_TRUE(check_network(good()).has_value());
  EXPECT_TRUE(check_network({}).has_value());
}

TEST(ConfigNetwork, EachBadFieldIsNamed) {
  using Change = std::function<void(pb::Network&)>;
  const std::pair<const char*, Change> bad[] = {
      {"network.interfaces[0].mac", [](auto& n) { n.mutable_interfaces(0)->clear_mac(); }},
      {"network.interfaces[0].mac",
       [](auto& n) { n.mutable_interfaces(0)->set_mac("ff:ff:ff:ff:ff:ff"); }},
      {"network.interfaces[0].mac",
       [](auto& n) { n.mutable_interfaces(0)->set_pci_address("0000:00:05.0"); }},
      {"network.interfaces[0].name", [](auto& n) { n.mutable_interfaces(0)->set_name("a/b"); }},
      {"network.interfaces[0].name",
       [](auto& n) { n.mutable_interfaces(0)->set_name("sixteen-letters-"); }},
      {"network.interfaces[0].addresses[0]",
       [](auto& n) { n.mutable_interfaces(0)->set_addresses(0, "10.0.2.15/40"); }},
      {"network.interfaces[0].mtu", [](auto& n) { n.mutable_interfaces(0)->set_mtu(67); }},
      {"network.interfaces[0].policy",
       [](auto& n) { n.mutable_interfaces(0)->set_policy(static_cast<pb::FirewallPolicy>(9)); }},
      {"network.interfaces[0].policy",
       [](auto& n) {
         n.mutable_interfaces(0)->set_policy(pb::PEERS);
         n.mutable_interfaces(0)->set_dhcp(true);
       }},
      {"network.interfaces[0].published",
       [](auto& n) {
         n.mutable_interfaces(0)->set_policy(pb::PUBLISHED);
         n.mutable_interfaces(0)->add_published()->set_port(65536);
       }},
      {"network.interfaces[0].routes[0].destination",
       [](auto& n) { n.mutable_interfaces(0)->mutable_routes(0)->set_destination("10.0.0.1/8"); }},
      {"network.interfaces[0].routes[0].gateway",
       [](auto& n) { n.mutable_interfaces(0)->mutable_routes(0)->set_gateway("fe80::2"); }},
      {"network.interfaces[0].pci_address",
       [](auto& n) {
         n.mutable_interfaces(0)->clear_mac();
         n.mutable_interfaces(0)->set_pci_address("00:05.0");
       }},
      {"network.interfaces[0].addresses[1]",
       [](auto& n) { n.mutable_interfaces(0)->add_addresses("10.0.2.15/16"); }},
      {"network.interfaces[0].mtu",
       [](auto& n) {
         n.mutable_interfaces(0)->set_mtu(1279);
         n.mutable_interfaces(0)->set_advertised(true);
       }},
      {"network.interfaces[0].published",
       [](auto& n) { n.mutable_interfaces(0)->add_published()->set_port(80); }},
      {"network.interfaces[0].routes[1]",
       [](auto& n) { *n.mutable_interfaces(0)->add_routes() = n.interfaces(0).routes(0); }},
      {"network.interfaces[1]", [](auto& n) { *n.add_interfaces() = n.interfaces(0); }},
      {"network.interfaces[0].name_servers",
       [](auto& n) { n.mutable_interfaces(0)->add_name_servers("dns.example"); }},
      {"network.name_servers", [](auto& n) { n.add_name_servers("dns.example"); }},
      {"network.search", [](auto& n) { n.add_search("two words"); }},
      {"network.resolver_options",
       [](auto& n) { n.add_resolver_options("a\nnameserver 6.6.6.6"); }},
      {"network.hosts", [](auto& n) { n.add_hosts()->set_address("x"); }},
  };
  for (const auto& [field, change] : bad) {
    pb::Network network = good();
    change(network);
    const auto checked = check_network(network);
    ASSERT_TRUE(checked.has_error()) << field;
    EXPECT_EQ(checked.error().object, field);
    EXPECT_NE(checked.error().detail.find("want "), std::string::npos) << field;
  }
}

}  // namespace
}  // namespace protocol
