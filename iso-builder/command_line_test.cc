#include "iso-builder/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

std::string checked(std::string_view text, uint32_t max = 2047) {
  const auto line = check_command_line(text, max);
  return line.has_value() ? *line : line.error().message();
}

TEST(CommandLine, TheDefaultIsGoodForItself) {
  EXPECT_EQ(checked(kDefaultCommandLine), kDefaultCommandLine);
}

TEST(CommandLine, BlanksAroundItAreNotPartOfIt) {
  EXPECT_EQ(checked("  a  b "), "a  b");
  EXPECT_EQ(checked("   "), "");
}

TEST(CommandLine, WhatCannotBePassedIsRefusedByItsPlace) {
  EXPECT_THAT(checked("quiet\nAPPEND x"), HasSubstr("byte 5 is '\\x0a'"));
  EXPECT_THAT(checked("a\tb"), HasSubstr("byte 1 is"));
  EXPECT_THAT(checked("caf\xc3\xa9"), HasSubstr("only printable ASCII"));
}

TEST(CommandLine, InitrdIsTheBootLoadersOwn) {
  EXPECT_THAT(checked("quiet initrd=/x"), HasSubstr("contains initrd="));
  EXPECT_THAT(checked("initrd=/x"), HasSubstr("contains initrd="));
  EXPECT_EQ(checked("noinitrd=1"), "noinitrd=1");
}

TEST(CommandLine, TheKernelsLimitLessTheBootLoadersPartHolds) {
  const std::string longest(2047 - 60, 'x');
  EXPECT_THAT(checked(std::string(2047, 'x')),
              HasSubstr("2047 bytes are too long; the kernel takes"));
  EXPECT_EQ(checked(longest.substr(0, 1900)), longest.substr(0, 1900));
  EXPECT_THAT(checked(longest, 255), HasSubstr("too long"));
  EXPECT_THAT(checked("x", 10), HasSubstr("the kernel takes 0"));
}

}  // namespace
}  // namespace iso_builder
