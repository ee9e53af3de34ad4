#include "vch/network/network_flags.h"

#include <gmock/gmock.h>

#include "protocol/config_network.h"
#include "vch/network/qemu_network.h"

namespace vch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kId = "0123456789abcdef" + std::string(48, '0');

Networks make(const NetworkFlags& flags) {
  auto made = make_networks(flags, kId);
  EXPECT_TRUE(made.has_value()) << made.error().message();
  const auto checked = protocol::check_network(made->config);
  EXPECT_TRUE(checked.has_value()) << checked.error().message();
  return *made;
}

TEST(NetworkFlags, WithoutAnyThereIsTheUserNetwork) {
  const Networks networks = make({});
  ASSERT_EQ(networks.attachments.size(), 1U);
  EXPECT_EQ(networks.attachments[0].mac, "02:01:23:45:67:80");
  const auto& interface = networks.config.interfaces(0);
  EXPECT_EQ(interface.name(), "eth0");
  EXPECT_THAT(interface.addresses(), ElementsAre("10.0.2.15/24", "fec0::15/64"));
  EXPECT_EQ(interface.routes(0).gateway(), "10.0.2.2");
  EXPECT_EQ(interface.routes(1).destination(), "::/0");
  EXPECT_THAT(interface.name_servers(), ElementsAre("10.0.2.3"));
  EXPECT_THAT(qemu_network(networks.attachments, {}, {-1}),
              ElementsAre("-netdev", "user,id=net020123456780,net=10.0.2.0/24,ipv6-net=fec0::/64",
                          "-device",
                          "virtio-net-pci,id=nic020123456780,netdev=net020123456780,mac=02:01:23:"
                          "45:67:80,romfile="));
}

TEST(NetworkFlags, NoneIsNone) {
  const Networks networks = make({.networks = {"none"}});
  EXPECT_TRUE(networks.attachments.empty());
  EXPECT_EQ(networks.config.interfaces_size(), 0);
  EXPECT_TRUE(make_networks({.networks = {"none", "user"}}, kId).has_error());
}

TEST(NetworkFlags, SeveralDoNotMeet) {
  const Networks networks = make(
      {.networks = {"user", "user,interface=lan", "bridge:br0,ip=10.1.2.3/24,gateway=10.1.2.1"},
       .ports = {"8080:80"}});
  EXPECT_EQ(networks.config.interfaces(1).name(), "lan");
  EXPECT_EQ(networks.config.interfaces(1).addresses(0), "10.0.3.15/24");
  EXPECT_EQ(networks.config.interfaces(1).routes(0).metric(), 100U);
  EXPECT_EQ(networks.config.interfaces(2).routes(0).metric(), 200U);
  EXPECT_FALSE(networks.config.interfaces(2).dhcp());
  EXPECT_TRUE(networks.config.interfaces(2).advertised());
  EXPECT_THAT(
      qemu_network(networks.attachments, networks.ports, {-1, -1, 9}),
      ElementsAre(
          "-netdev",
          "user,id=net020123456780,net=10.0.2.0/24,ipv6-net=fec0::/64,hostfwd=tcp::8080-:80",
          "-device", HasSubstr("mac=02:01:23:45:67:80"), "-netdev",
          "user,id=net020123456781,net=10.0.3.0/24,ipv6-net=fec0:0:0:1::/64", "-device",
          HasSubstr("mac=02:01:23:45:67:81"), "-netdev", "tap,id=net020123456782,fd=9", "-device",
          HasSubstr("mac=02:01:23:45:67:82")));
}

TEST(NetworkFlags, AFurtherOneMeetsNoneThatIsThere) {
  const Networks networks = make({.networks = {"user", "user", "user"}});
  auto present = networks.attachments;
  present.erase(present.begin() + 1);
  const auto further = make_further_network("user", kId, present);
  ASSERT_TRUE(further.has_value());
  EXPECT_EQ(further->attachment.name, "eth1");
  EXPECT_EQ(further->attachment.mac, networks.attachments[1].mac);
  EXPECT_EQ(further->attachment.subnet, 1U);
  EXPECT_EQ(further->interface.routes(0).metric(), 100U);
  EXPECT_TRUE(make_further_network("none", kId, present).has_error());
  EXPECT_TRUE(make_further_network("user,interface=eth0", kId, present).has_error());
}

TEST(NetworkFlags, ABridgeIsAskedForAnAddressUnlessOneIsGiven) {
  const Networks networks = make({.networks = {"bridge:br0,mtu=1400,mac=02:00:5e:10:00:01,"
                                               "route=10.9.0.0/16 via 10.1.2.1,policy=outbound"}});
  const auto& interface = networks.config.interfaces(0);
  EXPECT_TRUE(interface.dhcp());
  EXPECT_EQ(interface.mtu(), 1400U);
  EXPECT_EQ(interface.mac(), "02:00:5e:10:00:01");
  EXPECT_EQ(interface.policy(), tether::v1::OUTBOUND);
  EXPECT_EQ(interface.routes(0).gateway(), "10.1.2.1");
  EXPECT_TRUE(networks.config.name_servers().empty());
}

TEST(NetworkFlags, NamesAreDockers) {
  const Networks networks =
      make({.add_hosts = {"db:192.0.2.7", "v6=2001:db8::1", "host:host-gateway"},
            .dns = {"192.0.2.53"},
            .dns_search = {"example"},
            .dns_options = {"ndots:2"}});
  EXPECT_EQ(networks.config.hosts(0).address(), "192.0.2.7");
  EXPECT_EQ(networks.config.hosts(1).address(), "2001:db8::1");
  EXPECT_EQ(networks.config.hosts(2).address(), "10.0.2.2");
  EXPECT_THAT(networks.config.name_servers(), ElementsAre("192.0.2.53"));
  EXPECT_THAT(networks.config.search(), ElementsAre("example"));
  EXPECT_THAT(networks.config.resolver_options(), ElementsAre("ndots:2"));
}

TEST(NetworkFlags, PublishedPortsAreThoseOfThePolicy) {
  const Networks networks = make({.networks = {"bridge:br0,policy=published"}, .ports = {"80"}});
  ASSERT_EQ(networks.config.interfaces(0).published_size(), 1);
  EXPECT_EQ(networks.config.interfaces(0).published(0).port(), 80U);
}

TEST(NetworkFlags, WhatIsWrongIsSaid) {
  const std::pair<NetworkFlags, const char*> bad[] = {
      {{.networks = {"host"}}, "bridge:NAME"},
      {{.networks = {"bridge"}}, "bridge:NAME"},
      {{.networks = {"bridge:"}}, "bridge:NAME"},
      {{.networks = {"user,ip=10.0.0.1/8"}}, "own addresses"},
      {{.networks = {"bridge:b,ip=10.0.0.1"}}, "network's length"},
      {{.networks = {"bridge:b,mtu=x"}}, "68 to 65535"},
      {{.networks = {"bridge:b,policy=shut"}}, "closed"},
      {{.networks = {"bridge:b,mac=01:00:00:00:00:00"}}, "group"},
      {{.networks = {"bridge:b,speed=1"}}, "unknown 'speed=1'"},
      {{.networks = {"bridge:b,route=10.0.0.0/8 via x"}}, "via ADDRESS"},
      {{.networks = {"none"}, .ports = {"80:80"}}, "user"},
      {{.networks = {"bridge:b"}, .ports = {"80:80"}}, "user"},
      {{.add_hosts = {"db"}}, "NAME:ADDRESS"},
      {{.networks = {"none"}, .add_hosts = {"h:host-gateway"}}, "user"},
      {{.dns = {"name"}}, "want an address"},
  };
  for (const auto& [flags, word] : bad) {
    const auto made = make_networks(flags, kId);
    ASSERT_TRUE(made.has_error()) << word;
    EXPECT_THAT(made.error().message(), HasSubstr(word));
  }
}

std::vector<std::string> ports(const std::string& text) {
  std::vector<std::string> out;
  const auto parsed = parse_port_flag(text);
  if (parsed.has_error()) return {"refused"};
  for (const auto& port : *parsed) out.push_back(host_side(port) + " " + container_side(port));
  return out;
}

TEST(PortFlag, IsDockers) {
  EXPECT_THAT(ports("8080:80"), ElementsAre("0.0.0.0:8080 80/tcp"));
  EXPECT_THAT(ports("80"), ElementsAre("0.0.0.0:0 80/tcp"));
  EXPECT_THAT(ports("127.0.0.1:5353:53/udp"), ElementsAre("127.0.0.1:5353 53/udp"));
  EXPECT_THAT(ports("127.0.0.1::53/udp"), ElementsAre("127.0.0.1:0 53/udp"));
  EXPECT_THAT(ports("8000-8001:80-81"), ElementsAre("0.0.0.0:8000 80/tcp", "0.0.0.0:8001 81/tcp"));
  for (const char* bad : {"", "0", "65536", "a:80", "8080:", "80/sctp", "1-2:3", "2-1", "[::1]:1:2",
                          "host:80:80", "8080:80:"}) {
    EXPECT_THAT(ports(bad), ElementsAre("refused")) << bad;
  }
}

TEST(PortFlag, AHostAddressThatQemuCannotForwardIsNamed) {
  const std::pair<const char*, const char*> bad[] = {
      {"[::1]:8080:80", "'::1'"},           {"[::1]::80", "'::1'"},   {"[::1]:80", "'::1'"},
      {"[fe80::1]:53:53/udp", "'fe80::1'"}, {"::1:8080:80", "'::1'"}, {"[::1", "'::1'"},
      {"localhost:8080:80", "'localhost'"}};
  for (const auto& [text, address] : bad) {
    const auto parsed = parse_port_flag(text);
    ASSERT_TRUE(parsed.has_error()) << text;
    EXPECT_THAT(parsed.error().message(), testing::StartsWith("-p '" + std::string(text) + "': "));
    EXPECT_THAT(parsed.error().message(), HasSubstr(std::string("host's address ") + address +
                                                    ": want an IPv4 address, QEMU"));
  }
}

}  // namespace
}  // namespace vch
