#include "vch/network/host_ports.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

PublishedPort port(uint16_t host_port) {
  PublishedPort one;
  one.host_address = "127.0.0.1";
  one.host_port = host_port;
  one.port = 80;
  return one;
}

TEST(HostPorts, ThoseWithoutANumberGetOneOfTheirOwn) {
  std::vector<PublishedPort> ports = {port(0), port(0)};
  ASSERT_TRUE(choose_host_ports(ports).has_value());
  EXPECT_NE(ports[0].host_port, 0);
  EXPECT_NE(ports[1].host_port, 0);
  EXPECT_NE(ports[0].host_port, ports[1].host_port);
  // They are free again: a machine takes them now.
  EXPECT_TRUE(choose_host_ports(ports).has_value());
}

TEST(HostPorts, OneThatIsTakenIsNamed) {
  std::vector<PublishedPort> ports = {port(0)};
  ASSERT_TRUE(choose_host_ports(ports).has_value());
  std::vector<PublishedPort> twice = {ports[0], ports[0]};
  const auto chosen = choose_host_ports(twice);
  ASSERT_TRUE(chosen.has_error());
  EXPECT_EQ(chosen.error().code.value(), EADDRINUSE);
  EXPECT_EQ(chosen.error().object, host_side(ports[0]));
}

}  // namespace
}  // namespace vch
