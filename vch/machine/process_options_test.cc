#include "vch/machine/process_options.h"

#include <gtest/gtest.h>

#include "common/io.h"
#include "protocol/capabilities.h"
#include "vch/machine/seccomp_profile.h"

namespace vch {
namespace {

using protocol::pb::ContainerVm;
using Words = std::vector<std::string>;

std::string refused(const ProcessOptions& options) {
  ContainerVm config;
  const auto applied = apply_process_options(options, config);
  return applied.has_error() ? applied.error().message() : "accepted";
}

ContainerVm applied(const ProcessOptions& options) {
  ContainerVm config;
  const auto done = apply_process_options(options, config);
  EXPECT_TRUE(done.has_value()) << done.error().message();
  return config;
}

uint64_t capabilities(Words add, Words drop, bool privileged = false) {
  ProcessOptions options;
  options.cap_add = std::move(add);
  options.cap_drop = std::move(drop);
  options.privileged = privileged;
  return protocol::capabilities_of(applied(options).sandbox());
}

uint64_t bits(const Words& names) {
  uint64_t all = 0;
  for (const auto& name : names) all |= uint64_t{1} << *protocol::capability_number(name);
  return all;
}

TEST(Capabilities, FollowDockersRules) {
  const uint64_t normal = protocol::default_capabilities();
  const uint64_t all = protocol::all_capabilities();
  EXPECT_EQ(capabilities({}, {}), normal);
  EXPECT_EQ(capabilities({"NET_ADMIN"}, {}), normal | bits({"CAP_NET_ADMIN"}));
  EXPECT_EQ(capabilities({"cap_net_admin"}, {"Chown"}),
            (normal & ~bits({"CAP_CHOWN"})) | bits({"CAP_NET_ADMIN"}));
  EXPECT_EQ(capabilities({}, {"ALL"}), 0U);
  EXPECT_EQ(capabilities({"CHOWN"}, {"all"}), bits({"CAP_CHOWN"}));
  EXPECT_EQ(capabilities({"ALL"}, {"SYS_TIME"}), all & ~bits({"CAP_SYS_TIME"}));
  EXPECT_EQ(capabilities({}, {}, true), all);
  EXPECT_EQ(capabilities({}, {"BPF"}, true), all & ~bits({"CAP_BPF"}));
}

TEST(Capabilities, DefaultsLeaveTheConfigurationEmpty) {
  const auto config = applied({});
  EXPECT_EQ(config.sandbox().capabilities_size(), 0);
  EXPECT_EQ(config.sandbox().seccomp_case(), tether::v1::Sandbox::SECCOMP_NOT_SET);
}

TEST(Seccomp, TheDefaultProfileFollowsTheCapabilities) {
  ProcessOptions options;
  options.cap_add = {"SYS_ADMIN"};
  const auto config = applied(options);
  EXPECT_EQ(config.sandbox().filter(),
            *compile_seccomp_profile(default_seccomp_profile(), "builtin",
                                     protocol::capabilities_of(config.sandbox())));
}

TEST(Seccomp, OfAPrivilegedContainerIsWhatWasAskedFor) {
  ProcessOptions options;
  options.privileged = true;
  EXPECT_FALSE(applied(options).sandbox().has_filter());
  options.security = {"seccomp=builtin"};
  EXPECT_TRUE(applied(options).sandbox().has_filter());
  options.security = {"seccomp=unconfined", "no-new-privileges:true"};
  EXPECT_TRUE(applied(options).sandbox().unconfined());
  EXPECT_TRUE(applied(options).sandbox().no_new_privileges());
}

TEST(Limits, AreSoftAndHard) {
  ProcessOptions options;
  options.ulimits = {"nofile=1024:2048", "core=-1", "cpu=7"};
  const auto config = applied(options);
  const auto& found = config.primary().ulimits();
  ASSERT_EQ(found.size(), 3);
  EXPECT_EQ(found[0].soft(), 1024U);
  EXPECT_EQ(found[0].hard(), 2048U);
  EXPECT_EQ(found[1].soft(), UINT64_MAX);
  EXPECT_EQ(found[1].hard(), UINT64_MAX);
  EXPECT_EQ(found[2].hard(), 7U);
}

TEST(Options, ThatMakeNoSenseAreNamed) {
  ProcessOptions options;
  options.cap_add = {"FLY"};
  EXPECT_EQ(refused(options),
            "--cap-add 'FLY': Invalid argument (want a capability, as NET_ADMIN, or ALL)");
  options = {};
  options.ulimits = {"nofile=many"};
  EXPECT_NE(refused(options).find("--ulimit 'nofile=many'"), std::string::npos);
  options = {};
  options.sysctls = {"net.core.somaxconn"};
  EXPECT_NE(refused(options).find("--sysctl 'net.core.somaxconn'"), std::string::npos);
  options = {};
  options.security = {"apparmor=docker-default"};
  EXPECT_NE(refused(options).find("neither AppArmor"), std::string::npos);
  options = {};
  options.security = {"seccomp=/no/such/profile"};
  EXPECT_NE(refused(options).find("/no/such/profile"), std::string::npos);
  options = {};
  options.cgroup_namespace = "other";
  EXPECT_NE(refused(options).find("--cgroupns 'other'"), std::string::npos);
  options = {};
  options.shm_size = "big";
  EXPECT_NE(refused(options).find("'big'"), std::string::npos);
}

}  // namespace
}  // namespace vch
