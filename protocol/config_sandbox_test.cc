// What of a container's privileges is refused.
#include "protocol/config.h"
#include "protocol/config_fixture.h"

namespace protocol {
namespace {

pb::Sandbox& sandbox(pb::ContainerVm& c) { return *c.mutable_sandbox(); }

TEST(ConfigSandbox, IsRefusedByItsFieldsNames) {
  expect_refused({
      {"sandbox.capabilities[0]", [](auto& c) { sandbox(c).add_capabilities("CHOWN"); }},
      {"sandbox.capabilities[1]",
       [](auto& c) {
         sandbox(c).add_capabilities("CAP_CHOWN");
         sandbox(c).add_capabilities("CAP_CHOWN");
       }},
      {"sandbox.capabilities[1]",
       [](auto& c) {
         sandbox(c).add_capabilities("CAP_CHOWN");
         sandbox(c).add_capabilities("NONE");
       }},
      {"sandbox.filter", [](auto& c) { sandbox(c).set_filter(""); }},
      {"sandbox.filter", [](auto& c) { sandbox(c).set_filter("1234567"); }},
      {"sandbox.filter", [](auto& c) { sandbox(c).set_filter(std::string(4097 * 8, 'f')); }},
      {"sandbox.sysctls['vm.swappiness']",
       [](auto& c) { (*sandbox(c).mutable_sysctls())["vm.swappiness"] = "1"; }},
      {"sandbox.sysctls['net..x']",
       [](auto& c) { (*sandbox(c).mutable_sysctls())["net..x"] = "1"; }},
      {"sandbox.sysctls['net/core']",
       [](auto& c) { (*sandbox(c).mutable_sysctls())["net/core"] = "1"; }},
      {"sandbox.sysctls['net.x']", [](auto& c) { (*sandbox(c).mutable_sysctls())["net.x"] = ""; }},
      {"sandbox.masked_paths[0]", [](auto& c) { sandbox(c).add_masked_paths("proc"); }},
      {"sandbox.read_only_paths[1]",
       [](auto& c) {
         sandbox(c).add_read_only_paths("/srv");
         sandbox(c).add_read_only_paths("/srv/../etc");
       }},
      {"sandbox.host_cgroup_namespace",
       [](auto& c) {
         sandbox(c).set_privileged(true);
         sandbox(c).set_host_cgroup_namespace(true);
       }},
      {"sandbox.host_cgroup_namespace",
       [](auto& c) {
         sandbox(c).add_capabilities("CAP_SYS_ADMIN");
         sandbox(c).set_host_cgroup_namespace(true);
       }},
      {"primary.groups[0]", [](auto& c) { primary(c).add_groups(""); }},
  });
}

TEST(ConfigSandbox, WhatAgreesIsTaken) {
  auto config = good();
  sandbox(config).add_capabilities("NONE");
  sandbox(config).set_host_cgroup_namespace(true);
  (*sandbox(config).mutable_sysctls())["net.ipv4.conf.eth0.rp_filter"] = "1";
  sandbox(config).add_masked_paths("");
  sandbox(config).add_read_only_paths("/usr");
  primary(config).add_groups("audio");
  EXPECT_TRUE(config_problems(config).empty());
  config.clear_sandbox();
  sandbox(config).set_privileged(true);
  (*sandbox(config).mutable_sysctls())["vm.swappiness"] = "1";
  EXPECT_TRUE(config_problems(config).empty());
}

}  // namespace
}  // namespace protocol
