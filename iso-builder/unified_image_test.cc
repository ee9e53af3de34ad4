#include "iso-builder/unified_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iso-builder/bytes.h"
#include "iso-builder/test_images.h"

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

std::string section(const std::string& image, const std::string& name) {
  const size_t pe = little_endian<uint32_t>(image, 0x3c);
  const size_t count = little_endian<uint16_t>(image, pe + 6);
  const size_t table = pe + 24 + little_endian<uint16_t>(image, pe + 20);
  for (size_t i = 0; i < count; ++i) {
    const std::string header = image.substr(table + i * 40, 40);
    if (header.substr(0, 8) != name + std::string(8 - name.size(), '\0')) continue;
    return image.substr(little_endian<uint32_t>(header, 20), little_endian<uint32_t>(header, 8));
  }
  return "none";
}

UnifiedImage make(const std::string& stub) {
  const auto image = make_unified_image({stub, "the kernel", "the initramfs", "a b"}, "/stub");
  EXPECT_TRUE(image.has_value()) << image.error().message();
  return image.has_value() ? *image : UnifiedImage();
}

TEST(UnifiedImage, HasTheStubsSectionsAndItsOwn) {
  const UnifiedImage image = make(small_stub());
  EXPECT_EQ(section(image.bytes, ".text"), "code");
  EXPECT_EQ(section(image.bytes, ".linux"), "the kernel");
  EXPECT_EQ(section(image.bytes, ".initrd"), "the initramfs");
  EXPECT_EQ(section(image.bytes, ".cmdline"), "a b");
  EXPECT_EQ(image.bytes.substr(image.kernel_offset, 10), "the kernel");
  EXPECT_EQ(image.bytes.substr(image.initramfs_offset, 13), "the initramfs");
  EXPECT_EQ(image.kernel_offset % 2048 + image.initramfs_offset % 2048, 0U);
  EXPECT_TRUE(starts_by_uefi(image.bytes));
}

TEST(UnifiedImage, ItsAddressesDoNotOverlapAndLieWithinIt) {
  const std::string image = make(small_stub()).bytes;
  const size_t pe = little_endian<uint32_t>(image, 0x3c);
  const size_t table = pe + 24 + little_endian<uint16_t>(image, pe + 20);
  size_t end = 0;
  for (size_t i = 0; i < little_endian<uint16_t>(image, pe + 6); ++i) {
    EXPECT_GE(little_endian<uint32_t>(image, table + i * 40 + 12), end);
    end = little_endian<uint32_t>(image, table + i * 40 + 12) +
          little_endian<uint32_t>(image, table + i * 40 + 8);
  }
  EXPECT_LE(end, little_endian<uint32_t>(image, pe + 24 + 56));
}

TEST(UnifiedImage, ItsBeginningServesAsStubForTheSameImage) {
  const UnifiedImage first = make(small_stub());
  const std::string head = first.bytes.substr(0, first.stub_size);
  EXPECT_TRUE(make(head).bytes == first.bytes);
  EXPECT_TRUE(*plain_stub(head, "/h") == *plain_stub(small_stub(), "/s"));
  EXPECT_EQ(section(*plain_stub(head, "/h"), ".linux"), "none");
}

TEST(UnifiedImage, WhatIsNoEfiProgramOrCutShortIsRefusedByName) {
  const auto said = [](const std::string& stub) {
    return make_unified_image({stub, "", "", ""}, "/stub").error().message();
  };
  EXPECT_THAT(said("no program"), HasSubstr("EFI stub /stub: is not an EFI program"));
  EXPECT_THAT(said(small_stub().substr(0, 200)), HasSubstr("cut short in its headers"));
  EXPECT_THAT(said(small_stub().substr(0, 600)), HasSubstr("cut short in a section"));
  EXPECT_FALSE(starts_by_uefi(small_kernel()));
  EXPECT_TRUE(starts_by_uefi(small_efi_kernel()));
}

}  // namespace
}  // namespace iso_builder
