#include "tether/boot/config_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "common/io.h"

namespace tether {
namespace {

using protocol::Stage;

protocol::pb::ContainerVm good() {
  protocol::pb::ContainerVm config;
  config.set_version(1);
  config.set_id(std::string(64, 'a'));
  config.mutable_secrets()->set_link_key(std::string(32, 'k'));
  config.mutable_root()->mutable_image()->set_serial("image");
  config.mutable_root()->mutable_image()->set_file_system("squashfs");
  config.mutable_primary()->add_argv("true");
  config.add_links()->mutable_virtio_serial()->set_port("p");
  return config;
}

StageResult<BootConfig> read(const std::string& bytes, bool has_ssh = true) {
  const ConfigSource source{"test", [&]() -> common::Result<std::string> { return bytes; }, {}};
  return read_config_from(std::span(&source, 1), has_ssh);
}

StageResult<BootConfig> read(std::vector<ConfigSource> sources) {
  return read_config_from(sources, true);
}

ConfigSource failing(const char* name, int why, const char* detail) {
  return {name,
          [=]() -> common::Result<std::string> {
            return common::make_error(why, "read", "opt/x", detail);
          },
          {}};
}

std::string content(const common::UniqueFd& fd) {
  return *common::read_file("/proc/self/fd/" + std::to_string(fd.get()));
}

TEST(ConfigSource, TheSecretsAreInTheirOwnFileAlone) {
  const auto boot = read(good().SerializeAsString());
  ASSERT_TRUE(boot.has_value());
  EXPECT_FALSE(boot->config.has_secrets());
  EXPECT_EQ(boot->config.primary().argv(0), "true");
  EXPECT_EQ(content(boot->config_file).find("kkk"), std::string::npos);
  protocol::pb::Secrets secrets;
  ASSERT_TRUE(secrets.ParseFromString(content(boot->secrets)));
  EXPECT_EQ(secrets.link_key(), std::string(32, 'k'));
}

TEST(ConfigSource, SshsSecretsAreForLoginsAloneAndTheLinksKeyIsNot) {
  auto config = good();
  config.mutable_secrets()->set_ssh_host_key("host key");
  config.mutable_secrets()->set_ssh_authorized_keys("keys");
  config.mutable_secrets()->set_ssh_link_key("link key");
  const auto boot = read(config.SerializeAsString());
  ASSERT_TRUE(boot.has_value());
  protocol::pb::Secrets ssh;
  ASSERT_TRUE(ssh.ParseFromString(content(boot->ssh_secrets)));
  EXPECT_EQ(ssh.ssh_host_key(), "host key");
  EXPECT_EQ(ssh.ssh_authorized_keys(), "keys");
  EXPECT_EQ(ssh.ssh_link_key(), "link key");
  EXPECT_TRUE(ssh.link_key().empty());
  protocol::pb::Secrets link;
  ASSERT_TRUE(link.ParseFromString(content(boot->secrets)));
  EXPECT_EQ(link.SerializeAsString(), [] {
    protocol::pb::Secrets alone;
    alone.set_link_key(std::string(32, 'k'));
    return alone.SerializeAsString();
  }());
}

TEST(ConfigSource, ASecureLinkIsRefusedByAnAgentWithoutSsh) {
  auto config = good();
  config.mutable_links(0)->set_security(protocol::pb::Link::SSH);
  config.mutable_secrets()->set_ssh_host_key("host key");
  config.mutable_secrets()->set_ssh_link_key("link key");
  EXPECT_TRUE(read(config.SerializeAsString()).has_value());
  const auto refused = read(config.SerializeAsString(), false);
  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().stage, Stage::kCheckConfig);
  EXPECT_EQ(refused.error().error.message(),
            "config field links[0].security: Operation not supported (SSH, but this agent is built "
            "without it (TETHER_SSH); use another ISO, or PROOF)");
  config.mutable_links(0)->set_security(protocol::pb::Link::PROOF);
  EXPECT_TRUE(read(config.SerializeAsString(), false).has_value());
}

TEST(ConfigSource, NobodyCanChangeTheFilesAfterwards) {
  const auto boot = read(good().SerializeAsString());
  ASSERT_TRUE(boot.has_value());
  for (const int fd : {boot->secrets.get(), boot->config_file.get()}) {
    EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
    EXPECT_LT(::ftruncate(fd, 0), 0);
    EXPECT_NE(::fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL, 0);
  }
}

TEST(ConfigSource, EveryFailureKeepsItsStageAndObject) {
  const auto unread = read({failing("a", EPROTO, "why")});
  ASSERT_TRUE(unread.has_error());
  EXPECT_EQ(unread.error().stage, Stage::kReadConfig);
  EXPECT_EQ(unread.error().error.message(), "read opt/x: Protocol error (why)");

  const auto unparsed = read("\xff\xff\xff");
  ASSERT_TRUE(unparsed.has_error());
  EXPECT_EQ(unparsed.error().stage, Stage::kParseConfig);

  auto config = good();
  config.set_version(9);
  const auto wrong = read(config.SerializeAsString());
  ASSERT_TRUE(wrong.has_error());
  EXPECT_EQ(wrong.error().stage, Stage::kCheckConfig);
  EXPECT_EQ(wrong.error().error.object, "version");

  config = good();
  config.clear_secrets();
  const auto keyless = read(config.SerializeAsString());
  ASSERT_TRUE(keyless.has_error());
  EXPECT_EQ(keyless.error().error.object, "secrets");
}

TEST(ConfigSource, TheFirstThatHasOneIsTaken) {
  const std::string bytes = good().SerializeAsString();
  const ConfigSource there{"b", [&]() -> common::Result<std::string> { return bytes; }, {}};
  const auto boot =
      read({failing("a", ENODEV, "no device"), there, failing("c", EIO, "not asked")});
  ASSERT_TRUE(boot.has_value());
  EXPECT_EQ(boot->source, 1U);
  EXPECT_FALSE(boot->has_guestinfo);
  // One that is there and broken is not passed over: it was meant.
  const auto broken = read({failing("a", EBADMSG, "damaged"), there});
  ASSERT_TRUE(broken.has_error());
  EXPECT_EQ(broken.error().error.detail, "damaged");
}

TEST(ConfigSource, WithoutAnyAllOfThemAreNamed) {
  const auto none = read({failing("fw_cfg", ENODEV, "no device"), failing("guestinfo", ENOENT, ""),
                          failing("config disk", ENODEV, "none is attached")});
  ASSERT_TRUE(none.has_error());
  EXPECT_EQ(none.error().stage, Stage::kReadConfig);
  EXPECT_EQ(none.error().error.object, "the configuration");
  EXPECT_EQ(none.error().error.detail,
            "fw_cfg: no device; guestinfo: read opt/x: No such file or directory; "
            "config disk: none is attached");
}

TEST(ConfigSource, WhoeverGaveABadOneIsTold) {
  common::UniqueFd told(::memfd_create("told", MFD_CLOEXEC));
  const auto report = [&told](const StageError& error) {
    (void)common::write_all(told.get(), error.error.object, "told");
  };
  auto config = good();
  config.set_version(9);
  ASSERT_TRUE(
      read({{"a", [&]() -> common::Result<std::string> { return config.SerializeAsString(); },
             report}})
          .has_error());
  EXPECT_EQ(content(told), "version");
}

TEST(ConfigSource, AHelperThatThrowsIsAFailureToo) {
  const auto done = read(
      {{"a", []() -> common::Result<std::string> { throw std::runtime_error("no luck"); }, {}}});
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kReadConfig);
  EXPECT_NE(done.error().error.message().find("no luck"), std::string::npos);
}

}  // namespace
}  // namespace tether
