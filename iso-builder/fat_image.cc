#include "iso-builder/fat_image.h"

#include <algorithm>
#include <ctime>

#include "iso-builder/bytes.h"

namespace iso_builder {
namespace {

constexpr size_t kSector = 512;
constexpr size_t kAlign = 2048;
constexpr size_t kRootEntries = 64;  // 2048 bytes
// A volume is FAT16 by the number of its clusters, and by nothing else.
constexpr size_t kMinClusters = 4085 + 16;
constexpr size_t kMaxClusters = 65524 - 16;
constexpr uint16_t kLastCluster = 0xffff;

struct FatTime {
  uint16_t time = 0, date = 0;
};

FatTime fat_time(uint32_t seconds) {
  const auto moment = static_cast<time_t>(std::max<uint32_t>(seconds, 315532800));
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  return {
      static_cast<uint16_t>(parts.tm_hour << 11 | parts.tm_min << 5 | parts.tm_sec / 2),
      static_cast<uint16_t>((parts.tm_year - 80) << 9 | (parts.tm_mon + 1) << 5 | parts.tm_mday)};
}

// `name`: eight characters and three.
std::string entry(std::string_view name, bool folder, uint16_t cluster, uint32_t size,
                  FatTime when) {
  std::string out(name);
  out += folder ? '\x10' : '\x01';
  out += std::string(2, '\0') + le_bytes(when.time) + le_bytes(when.date) + le_bytes(when.date) +
         std::string(2, '\0') + le_bytes(when.time) + le_bytes(when.date) + le_bytes(cluster) +
         le_bytes(size);
  return out;
}

struct Shape {
  size_t cluster = kSector, clusters = 0, fat_sectors = 0, reserved = 1, total_sectors = 0;
  size_t data_offset() const { return (reserved + fat_sectors) * kSector + kRootEntries * 32; }
};

Shape shape_for(size_t program) {
  Shape shape;
  const auto needed = [&] { return (program + shape.cluster - 1) / shape.cluster + 2; };
  while (needed() > kMaxClusters) shape.cluster *= 2;
  // The file begins at a sector of the CD's, and so the volume ends at one.
  shape.clusters = round_up(std::max(needed(), kMinClusters), kAlign / kSector);
  shape.fat_sectors = round_up((shape.clusters + 2) * 2, kSector) / kSector;
  while (shape.data_offset() % kAlign != 0) ++shape.reserved;
  shape.total_sectors = (shape.data_offset() + shape.clusters * shape.cluster) / kSector;
  return shape;
}

std::string boot_sector(const Shape& shape, uint32_t time) {
  std::string out = "\xeb\x3c\x90TETHER  ";
  out += le_bytes(uint16_t{kSector}) + static_cast<char>(shape.cluster / kSector) +
         le_bytes(static_cast<uint16_t>(shape.reserved)) + '\1' + le_bytes(uint16_t{kRootEntries});
  const bool large = shape.total_sectors > 0xffff;
  out += le_bytes(large ? uint16_t{0} : static_cast<uint16_t>(shape.total_sectors)) + '\xf8' +
         le_bytes(static_cast<uint16_t>(shape.fat_sectors)) + le_bytes(uint16_t{32}) +
         le_bytes(uint16_t{64}) + le_bytes(0U) +
         le_bytes(large ? static_cast<uint32_t>(shape.total_sectors) : 0U);
  out += std::string("\x80\0\x29", 3) + le_bytes(time ^ 0x74657468U) + "TETHER     FAT16   ";
  out.resize(510);
  return out + "\x55\xaa";
}

// Cluster 2 on: the program, then the two folders.
std::string allocation_table(const Shape& shape, size_t program_clusters) {
  std::string out = le_bytes(uint16_t{0xfff8}) + le_bytes(kLastCluster);
  for (size_t i = 0; i < program_clusters; ++i) {
    out += le_bytes(i + 1 == program_clusters ? kLastCluster : static_cast<uint16_t>(i + 3));
  }
  out += le_bytes(kLastCluster) + le_bytes(kLastCluster);
  out.resize(shape.fat_sectors * kSector);
  return out;
}

}  // namespace

FatImage make_fat_image(std::string_view program, uint32_t time) {
  const Shape shape = shape_for(program.size());
  const size_t clusters = round_up(program.size(), shape.cluster) / shape.cluster;
  const auto efi = static_cast<uint16_t>(2 + clusters);
  const auto boot = static_cast<uint16_t>(efi + 1);
  const FatTime when = fat_time(time);

  FatImage image;
  std::string& out = image.bytes;
  out.reserve(shape.total_sectors * kSector);
  out = boot_sector(shape, time);
  out.resize(shape.reserved * kSector);
  out += allocation_table(shape, clusters);
  out += entry("EFI        ", true, efi, 0, when);
  out.resize(shape.data_offset());
  image.file_offset = out.size();
  out += program;
  fill_up(out, shape.cluster);
  out += entry(".          ", true, efi, 0, when) + entry("..         ", true, 0, 0, when) +
         entry("BOOT       ", true, boot, 0, when);
  fill_up(out, shape.cluster);
  out += entry(".          ", true, boot, 0, when) + entry("..         ", true, efi, 0, when) +
         entry("BOOTX64 EFI", false, 2, static_cast<uint32_t>(program.size()), when);
  out.resize(shape.total_sectors * kSector);
  return image;
}

}  // namespace iso_builder
