#include "tether/boot/config_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>

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

StageResult<BootConfig> read(const std::string& bytes) {
  return read_config_from([&]() -> common::Result<std::string> { return bytes; });
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
  const auto unread = read_config_from([]() -> common::Result<std::string> {
    return common::make_error(ENOENT, "read", "opt/x", "why");
  });
  ASSERT_TRUE(unread.has_error());
  EXPECT_EQ(unread.error().stage, Stage::kReadConfig);
  EXPECT_EQ(unread.error().error.message(), "read opt/x: No such file or directory (why)");

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

TEST(ConfigSource, AHelperThatThrowsIsAFailureToo) {
  const auto done = read_config_from(
      []() -> common::Result<std::string> { throw std::runtime_error("no luck"); });
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kReadConfig);
  EXPECT_NE(done.error().error.message().find("no luck"), std::string::npos);
}

}  // namespace
}  // namespace tether
