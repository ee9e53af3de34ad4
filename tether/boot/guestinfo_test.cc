#include "tether/boot/guestinfo.h"

#include <gtest/gtest.h>

#include "tether/boot/fake_backdoor.h"

namespace tether {
namespace {

constexpr size_t kLimit = 1000;
constexpr const char* kName = "guestinfo.tether.config";

int read_errno(FakeBackdoor& port) {
  const auto read = read_guestinfo_config(port, kLimit);
  EXPECT_TRUE(read.has_error());
  EXPECT_EQ(port.open_channels, 0);
  return read.has_error() ? read.error().code.value() : 0;
}

TEST(Guestinfo, AConfigurationIsReadOnceAndOverwritten) {
  for (const bool enhanced : {true, false}) {
    FakeBackdoor port;
    port.enhanced = enhanced;
    port.info[kName] = " aGVs\nbG8A\n";
    const auto read = read_guestinfo_config(port, kLimit);
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(*read, std::string("hello\0", 6));
    EXPECT_EQ(port.info[kName], "-");
    EXPECT_EQ(port.open_channels, 0);
    EXPECT_EQ(read_errno(port), ENOENT);
  }
}

TEST(Guestinfo, APackedConfigurationIsUnpacked) {
  FakeBackdoor port;
  port.info[kName] = "H4sIAAAAAAACA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==";
  port.info[std::string(kName) + ".encoding"] = "gzip+base64";
  const auto read = read_guestinfo_config(port, kLimit);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(*read, "hello world");
}

TEST(Guestinfo, WhatIsMissingLetsTheNextSourceBeTried) {
  FakeBackdoor port;
  EXPECT_EQ(read_errno(port), ENOENT);
  port.info[kName] = "";
  EXPECT_EQ(read_errno(port), ENOENT);
  port.present = false;
  EXPECT_EQ(read_errno(port), ENODEV);
}

TEST(Guestinfo, WhatCannotBeDecodedIsRefusedAndKept) {
  FakeBackdoor port;
  port.info[kName] = "a!b";
  EXPECT_EQ(read_errno(port), EBADMSG);
  port.info[kName] = "aGVsbG8=";
  port.info[std::string(kName) + ".encoding"] = "gzip+base64";
  EXPECT_EQ(read_errno(port), EBADMSG);
  port.info[std::string(kName) + ".encoding"] = "rot13";
  const auto read = read_guestinfo_config(port, kLimit);
  ASSERT_TRUE(read.has_error());
  EXPECT_EQ(read.error().code.value(), EINVAL);
  EXPECT_EQ(read.error().object, std::string(kName) + ".encoding");
  EXPECT_EQ(port.info[kName], "aGVsbG8=");
}

TEST(Guestinfo, AHypervisorThatBreaksOffAnywhereIsNamed) {
  for (int step = 1; step <= 5; ++step) {
    FakeBackdoor port;
    port.info[kName] = "aGVsbG8=";
    port.breaks_in_step = step;
    EXPECT_EQ(read_errno(port), EPROTO) << step;
  }
}

// QEMU's imitation, which may stand beside a config disk.
TEST(Guestinfo, APortWithoutChannelsLetsTheNextSourceBeTried) {
  FakeBackdoor port;
  port.refuses = true;
  EXPECT_EQ(read_errno(port), ENODEV);
}

TEST(Guestinfo, AMachineThatIsMovedInTheMiddleAsksAgain) {
  for (int step = 1; step <= 5; ++step) {
    FakeBackdoor port;
    port.info[kName] = "aGVsbG8=";
    port.moves_in_step(step, 3);
    const auto read = read_guestinfo_config(port, kLimit);
    ASSERT_TRUE(read.has_value()) << step;
    EXPECT_EQ(*read, "hello");
    EXPECT_EQ(port.open_channels, 0);
  }
  FakeBackdoor port;
  port.info[kName] = "aGVsbG8=";
  port.moves_in_step(2, 1000);
  EXPECT_EQ(read_errno(port), EPROTO);
}

TEST(Guestinfo, AnAnswerHasALimit) {
  FakeBackdoor port;
  port.info["x"] = std::string(10, 'x');
  EXPECT_EQ(ask_hypervisor(port, "info-get x", 9).error().code.value(), EFBIG);
  EXPECT_EQ(*ask_hypervisor(port, "info-get x", 10), port.info["x"]);
  port.info[kName] = std::string(2 * kLimit + 1, 'A');
  EXPECT_EQ(read_errno(port), EFBIG);
}

TEST(Guestinfo, WhatIsWrittenIsPlainText) {
  FakeBackdoor port;
  EXPECT_TRUE(set_guestinfo(port, "error", "no \x1b[2J\nway").has_value());
  EXPECT_EQ(port.info["guestinfo.tether.error"], "no \\x1b[2J\\x0away");
  EXPECT_TRUE(set_guestinfo(port, "error", std::string(2000, 'x')).has_value());
  EXPECT_EQ(port.info["guestinfo.tether.error"].size(), 512U);
}

}  // namespace
}  // namespace tether
