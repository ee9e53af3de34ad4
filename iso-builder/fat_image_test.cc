#include "iso-builder/fat_image.h"

#include <gtest/gtest.h>

#include "iso-builder/bytes.h"

namespace iso_builder {
namespace {

// What a reader of FAT16 finds: the directory entry by name in the folder at `offset`.
class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {
    const size_t reserved = little_endian<uint16_t>(bytes, 14),
                 fat = little_endian<uint16_t>(bytes, 22);
    cluster_ = size_t{static_cast<unsigned char>(bytes[13])} * 512;
    table_ = reserved * 512;
    root_ = (reserved + fat) * 512;
    data_ = root_ + size_t{little_endian<uint16_t>(bytes, 17)} * 32;
    const size_t sectors = little_endian<uint16_t>(bytes, 19) != 0
                               ? little_endian<uint16_t>(bytes, 19)
                               : little_endian<uint32_t>(bytes, 32);
    clusters_ = (sectors * 512 - data_) / cluster_;
  }
  size_t clusters() const { return clusters_; }
  size_t root() const { return root_; }
  size_t place(uint16_t cluster) const { return data_ + (cluster - size_t{2}) * cluster_; }
  std::string entry(size_t folder, const std::string& name) const {
    for (size_t at = folder; at < folder + 512; at += 32) {
      if (bytes_.substr(at, 11) == name) return bytes_.substr(at, 32);
    }
    return {};
  }
  std::string chain(uint16_t first, size_t size) const {
    std::string out;
    for (uint16_t at = first; at < 0xfff8; at = little_endian<uint16_t>(bytes_, table_ + at * 2U)) {
      out += bytes_.substr(place(at), cluster_);
      if (out.size() > bytes_.size()) return "a loop";
    }
    return out.substr(0, size);
  }

 private:
  const std::string& bytes_;
  size_t cluster_ = 0, table_ = 0, root_ = 0, data_ = 0, clusters_ = 0;
};

void expect_found(const std::string& program) {
  const FatImage image = make_fat_image(program, 1700000000);
  const Reader reader(image.bytes);
  // Outside these bounds it would be read as FAT12 or FAT32.
  EXPECT_GE(reader.clusters(), 4085U);
  EXPECT_LE(reader.clusters(), 65524U);
  const std::string efi = reader.entry(reader.root(), "EFI        ");
  ASSERT_EQ(efi.size(), 32U);
  const std::string boot =
      reader.entry(reader.place(little_endian<uint16_t>(efi, 26)), "BOOT       ");
  ASSERT_EQ(boot.size(), 32U);
  const std::string file =
      reader.entry(reader.place(little_endian<uint16_t>(boot, 26)), "BOOTX64 EFI");
  ASSERT_EQ(file.size(), 32U);
  EXPECT_EQ(little_endian<uint32_t>(file, 28), program.size());
  EXPECT_EQ(little_endian<uint16_t>(file, 24), (43 << 9 | 11 << 5 | 14));  // 2023-11-14
  EXPECT_TRUE(reader.chain(little_endian<uint16_t>(file, 26), program.size()) == program);
  EXPECT_TRUE(image.bytes.substr(image.file_offset, program.size()) == program);
  EXPECT_EQ(image.file_offset % 2048, 0U);
  EXPECT_EQ(image.bytes.size() % 2048, 0U);
}

TEST(FatImage, HoldsTheProgramWhereFirmwareLooks) { expect_found("a small one"); }

TEST(FatImage, HoldsProgramsOfAnySize) {
  for (const size_t size : {size_t{1} << 20U, (size_t{1} << 20U) + 1, size_t{40} << 20U}) {
    std::string program(size, 'p');
    for (size_t i = 0; i < size; i += 509) program[i] = static_cast<char>(i >> 9U);
    expect_found(program);
  }
}

}  // namespace
}  // namespace iso_builder
