#include "iso-builder/kernel_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iso-builder/test_images.h"

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& bytes) {
  const auto image = read_kernel_image(bytes, "/k");
  return image.has_error() ? image.error().message() : "accepted";
}

TEST(KernelImage, StatesItsVersionAndTheLimitOfItsCommandLine) {
  const auto image = read_kernel_image(small_kernel(), "/k");
  ASSERT_TRUE(image.has_value()) << image.error().message();
  EXPECT_EQ(image->version, "6.1.0-test");
  EXPECT_EQ(image->max_command_line, 2047U);
}

TEST(KernelImage, WhatIsNoBzImageIsRefused) {
  EXPECT_EQ(refusal(""), "kernel /k: is not a bzImage: no Linux boot header at byte 0x1fe");
  EXPECT_THAT(refusal(std::string(70000, 'x')), HasSubstr("is not a bzImage"));
  EXPECT_THAT(refusal("\x7f" + ("ELF" + std::string(70000, 'x'))), HasSubstr("give the bzImage"));
}

TEST(KernelImage, AnOldProtocolIsRefusedByItsVersion) {
  std::string old = small_kernel();
  put_at<uint16_t>(old, 0x206, 0x205);
  EXPECT_THAT(refusal(old), HasSubstr("boot protocol 2.5, need a bzImage of 2.6"));
}

TEST(KernelImage, EveryMissingByteIsNoticed) {
  std::string kernel = small_kernel();
  const std::string whole = std::to_string(kernel.size());
  kernel.pop_back();
  EXPECT_THAT(refusal(kernel),
              HasSubstr("cut short: " + std::to_string(kernel.size()) + " bytes of " + whole));
}

TEST(KernelImage, AVersionPointerOutsideTheFileIsRefused) {
  std::string kernel = small_kernel();
  put_at<uint16_t>(kernel, 0x20e, 0xffff);
  put_at<uint32_t>(kernel, 0x1f4, 16);
  kernel.resize(5 * 512 + 256);
  EXPECT_THAT(refusal(kernel), HasSubstr("states no version"));
}

}  // namespace
}  // namespace iso_builder
