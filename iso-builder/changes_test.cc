#include "iso-builder/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/io.h"
#include "iso-builder/test_images.h"

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

class ChangesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "changes-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    image_.agent = "agent";
    image_.busybox = "busybox";
    image_.command_line = "quiet";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& bytes) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    EXPECT_TRUE(common::write_file_atomically(path, bytes).has_value());
    return path;
  }
  std::string refused(const Changes& changes) {
    BootImage image = image_;
    const auto done = apply_changes(changes, image);
    EXPECT_EQ(image.files.size(), image_.files.size());
    return done.has_error() ? done.error().message() : "was taken";
  }
  void apply(const Changes& changes) {
    const auto done = apply_changes(changes, image_);
    ASSERT_TRUE(done.has_value()) << done.error().message();
  }

  std::string folder_;
  BootImage image_;
};

TEST_F(ChangesTest, NothingNamedIsNothingChanged) {
  apply({});
  EXPECT_EQ(image_.agent, "agent");
  EXPECT_EQ(image_.command_line, "quiet");
  EXPECT_TRUE(image_.files.empty());
}

TEST_F(ChangesTest, EachIsPutWhereTheAgentOrTheKernelLooks) {
  Changes changes;
  changes.agent = file("agent", small_agent());
  changes.arguments = {"a=1", "b"};
  changes.authorities = {file("one.pem", kPem), file("two.pem", kPem)};
  changes.config = file("config", "config");
  changes.hooks = {"root=" + file("10-hook", "#!/tools/busybox sh\n")};
  changes.debug_shell = "early";
  file("fw/net/card.bin", "firmware");
  changes.firmware = folder_ + "/fw";
  apply(changes);
  EXPECT_EQ(image_.agent, small_agent());
  EXPECT_EQ(image_.command_line, "quiet a=1 b");
  EXPECT_EQ(image_.files["tools/authorities.pem"], std::string(kPem) + kPem);
  EXPECT_EQ(image_.files["tools/config"], "config");
  EXPECT_EQ(image_.files["tools/hooks/root/10-hook"], "#!/tools/busybox sh\n");
  EXPECT_THAT(image_.files["tools/hooks/early/zz-debug-shell.wait"], HasSubstr("ttyS0"));
  EXPECT_EQ(image_.files["lib/firmware/net/card.bin"], "firmware");
}

TEST_F(ChangesTest, WhatWasAddedCanBeTakenOut) {
  image_.files["tools/config"] = "config";
  Changes changes;
  changes.without = {"/tools/config", "/tools/busybox"};
  apply(changes);
  EXPECT_TRUE(image_.files.empty());
  EXPECT_EQ(image_.busybox, "");
  EXPECT_THAT(refused(changes), HasSubstr("take out /tools/config: is not there"));
}

TEST_F(ChangesTest, ABadHookIsRefusedByName) {
  const auto hook = [&](const std::string& given) {
    Changes changes;
    changes.hooks = {given};
    return refused(changes);
  };
  const std::string good = file("hook", "#!/tools/busybox sh\n");
  EXPECT_THAT(hook("hook"), HasSubstr("hook hook: want STAGE=FILE"));
  EXPECT_THAT(hook("late=" + good), HasSubstr("has no stage of that name"));
  EXPECT_THAT(hook("root=" + file("bash", "#!/bin/bash\n")),
              HasSubstr("begins with '#!/bin/bash'"));
  EXPECT_THAT(hook("root=" + file("text", "text")), HasSubstr("is not an ELF program"));
  EXPECT_THAT(hook("root=" + folder_ + "/none"), HasSubstr("No such file"));
  image_.files["tools/hooks/root/hook"] = "old";
  EXPECT_THAT(hook("root=" + good), HasSubstr("is there already as /tools/hooks/root/hook"));
  image_.busybox.clear();
  EXPECT_THAT(hook("stop=" + good), HasSubstr("has no busybox"));
}

TEST_F(ChangesTest, OtherBadOnesAreRefusedByName) {
  Changes changes;
  changes.authorities = {file("key.pem", std::string(kPem) + "-----BEGIN PRIVATE KEY-----\n")};
  EXPECT_THAT(refused(changes), HasSubstr("key.pem: are not PEM certificates alone"));
  changes.authorities = {file("cut.pem", "-----BEGIN CERTIFICATE-----\nAA==\n")};
  EXPECT_THAT(refused(changes), HasSubstr("cut.pem: are not PEM"));
  changes = {};
  changes.debug_shell = "never";
  EXPECT_THAT(refused(changes), HasSubstr("has no stage of that name"));
  changes = {};
  changes.config = file("empty", "");
  EXPECT_THAT(refused(changes), HasSubstr("/empty: is empty"));
  changes = {};
  changes.firmware = folder_ + "/none";
  EXPECT_THAT(refused(changes), HasSubstr("/none: No such file"));
  changes = {};
  changes.agent = "/bin/true";
  EXPECT_THAT(refused(changes), HasSubstr("dynamic loader"));
}

}  // namespace
}  // namespace iso_builder
