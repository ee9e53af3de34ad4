#include "iso-builder/iso_writer.h"

#include <algorithm>
#include <map>

#include "iso-builder/bytes.h"
#include "iso-builder/iso_records.h"

namespace iso_builder {
namespace {

// Sectors in front of the files.
constexpr uint32_t kVolumeSector = 16;  // descriptor; then the boot record and the end of the list
constexpr uint32_t kPathTableSector = 19;
constexpr uint32_t kPathTableBigSector = 20;
constexpr uint32_t kCatalogSector = 21;
constexpr uint32_t kRootSector = 22;
constexpr uint8_t kDiskSectorsEach = 4;  // of 512 bytes

using Folder = std::map<std::string, Extent>;  // in the order of their ISO names as well

std::string padded(std::string_view text, size_t size) {
  std::string out(text.substr(0, size));
  out.resize(size, ' ');
  return out;
}

// The volume descriptor holds a bare one of 34 bytes.
std::string root_record(uint32_t time) {
  std::string out =
      directory_record(RecordKind::kSelf, "", {kRootSector, kIsoSector}, time).substr(0, 34);
  out[0] = 34;
  return out;
}

std::string volume_descriptor(uint32_t sectors, uint32_t path_table_size, uint32_t time) {
  std::string out = std::string("\1CD001\1\0", 8) + padded("", 32) + padded("TETHER", 32);
  out += std::string(8, '\0') + both32(sectors) + std::string(32, '\0');
  out += both16(1) + both16(1) + both16(kIsoSector) + both32(path_table_size);
  out += le_bytes(kPathTableSector) + le_bytes(0U) + be_bytes(kPathTableBigSector, 4) +
         be_bytes(0, 4) + root_record(time);
  out += padded("", 128 + 128 + 128) + padded("TETHER-ISO", 128) + padded("", 37 * 3);
  const std::string never = std::string(16, '0') + '\0';
  out += long_date(time) + long_date(time) + never + never + "\1";
  out.resize(kIsoSector);
  return out;
}

std::string boot_record() {
  std::string out = std::string("\0CD001\1", 7) + "EL TORITO SPECIFICATION";
  out.resize(0x47);
  out += le_bytes(kCatalogSector);
  out.resize(kIsoSector);
  return out;
}

std::string path_table(const std::map<std::string, uint32_t>& folders, bool big) {
  const auto entry = [&](std::string_view name, uint32_t sector) {
    std::string out(1, static_cast<char>(name.size()));
    out += '\0';
    out += big ? be_bytes(sector, 4) : le_bytes(sector);
    out += big ? be_bytes(1, 2) : le_bytes(uint16_t{1});
    out += name;
    fill_up(out, 2);
    return out;
  };
  std::string out = entry(std::string_view("\0", 1), kRootSector);
  for (const auto& [name, sector] : folders) {
    out += entry(iso_folder_name(name), sector);
  }
  return out;
}

// The list of what a CD boots: by BIOS the loader, by UEFI the FAT volume.
std::string boot_catalog(Extent loader, Extent efi) {
  const auto entry = [](uint16_t disk_sectors, uint32_t sector) {
    std::string out = std::string("\x88\0\0\0\0\0", 6) + le_bytes(disk_sectors) + le_bytes(sector);
    out.resize(32);
    return out;
  };
  std::string out(32, '\0');
  out[0] = 1;
  put_le<uint16_t>(out, 30, 0xaa55);
  uint16_t sum = 0;
  for (size_t at = 0; at < 32; at += 2) sum += little_endian<uint16_t>(out, at);
  put_le<uint16_t>(out, 28, static_cast<uint16_t>(-sum));
  out += entry(kDiskSectorsEach, loader.sector);
  if (efi.size > 0) {
    std::string header = std::string("\x91\xef\x01\x00", 4);
    header.resize(32);
    // A length that 16 bits do not hold is given as 0: to the end of the medium.
    const size_t length = efi.size / 512;
    out += header + entry(length > 0xffff ? 0 : static_cast<uint16_t>(length), efi.sector);
  }
  out.resize(kIsoSector);
  return out;
}

// As isolinux expects it behind its first jump.
void put_boot_info(std::string& loader, Extent extent) {
  constexpr size_t kTable = 8, kSummedFrom = 64;
  if (loader.size() < kSummedFrom) return;
  uint32_t sum = 0;
  for (size_t at = kSummedFrom; at < loader.size(); at += 4) {
    std::string word = loader.substr(at, 4);
    word.resize(4);
    sum += little_endian<uint32_t>(word, 0);
  }
  std::string table =
      le_bytes(kVolumeSector) + le_bytes(extent.sector) + le_bytes(extent.size) + le_bytes(sum);
  table.resize(kSummedFrom - kTable);
  loader.replace(kTable, table.size(), table);
}

std::string partition(uint8_t active, uint8_t type, uint32_t first, uint32_t count) {
  // Addresses by cylinder are at their end, which says: use the others.
  const std::string nowhere = "\xfe\xff\xff";
  return static_cast<char>(active) + nowhere + static_cast<char>(type) + nowhere + le_bytes(first) +
         le_bytes(count);
}

// isohdpfx starts what the four bytes behind it point to. The partitions do not overlap, or UEFI
// would believe none of them.
std::string master_boot_record(std::string_view code, Extent loader, Extent efi, uint32_t sectors,
                               uint32_t time) {
  std::string out(code.substr(0, kMbrCodeBytes));
  out.resize(kMbrCodeBytes);
  out += le_bytes(loader.sector * kDiskSectorsEach) + le_bytes(0U) + le_bytes(time ^ 0x74657468U);
  out.resize(446);
  const uint32_t end = efi.size > 0 ? efi.sector : sectors;
  out += partition(0x80, 0x17, kVolumeSector * kDiskSectorsEach,
                   (end - kVolumeSector) * kDiskSectorsEach);
  if (efi.size > 0) {
    out += partition(0, 0xef, efi.sector * kDiskSectorsEach, efi.size / 512);
  }
  out.resize(510);
  return out + "\x55\xaa";
}

class Layout {
 public:
  explicit Layout(const IsoPlan& plan) : plan_(plan) {
    for (const IsoFile& file : plan.files) folder_of(file.path);
    for (const IsoInsideFile& file : plan.inside) folder_of(file.path);
    uint32_t next = kRootSector + 1;
    for (auto& [name, sector] : folder_sectors_) sector = next++;
    data_sector_ = next;
    for (const IsoFile& file : plan.files) place(file);
    if (!plan.efi_image.empty()) {
      efi_ = add(std::string(plan.efi_image));
      for (const IsoInsideFile& file : plan.inside) {
        folder_of(file.path)[leaf(file.path)] = {
            efi_.sector + static_cast<uint32_t>(file.offset / kIsoSector),
            static_cast<uint32_t>(file.size)};
      }
    }
  }

  std::string image() const {
    const uint32_t sectors = data_sector_ + static_cast<uint32_t>(data_.size() / kIsoSector);
    const std::string table = path_table(folder_sectors_, false);
    std::string out;
    if (!plan_.mbr_code.empty()) {
      out = master_boot_record(plan_.mbr_code, loader_, efi_, sectors, plan_.time);
    }
    out.resize(kVolumeSector * kIsoSector);
    out += volume_descriptor(sectors, static_cast<uint32_t>(table.size()), plan_.time);
    out += boot_record();
    out += std::string(
        "\xff"
        "CD001\1",
        7);
    append(out, table);
    append(out, path_table(folder_sectors_, true));
    append(out, boot_catalog(loader_, efi_));
    append(out, root_folder());
    for (const auto& [name, entries] : folders_) append(out, folder(name, entries));
    fill_up(out, kIsoSector);
    return out + data_;
  }

 private:
  static std::string leaf(const std::string& path) { return path.substr(path.find('/') + 1); }
  static void append(std::string& out, const std::string& sector) {
    fill_up(out, kIsoSector);
    out += sector;
  }

  Folder& folder_of(const std::string& path) {
    const std::string name = path.substr(0, path.find('/'));
    folder_sectors_.try_emplace(name, 0);
    return folders_[name];
  }
  Extent add(std::string content) {
    const Extent extent{data_sector_ + static_cast<uint32_t>(data_.size() / kIsoSector),
                        static_cast<uint32_t>(content.size())};
    data_ += content;
    fill_up(data_, kIsoSector);
    return extent;
  }
  void place(const IsoFile& file) {
    std::string content(file.content);
    Extent extent{data_sector_ + static_cast<uint32_t>(data_.size() / kIsoSector),
                  static_cast<uint32_t>(content.size())};
    if (file.path == plan_.loader_path) {
      loader_ = extent;
      put_boot_info(content, extent);
    }
    folder_of(file.path)[leaf(file.path)] = add(std::move(content));
  }

  std::string root_folder() const {
    const Extent self{kRootSector, kIsoSector};
    std::string out = directory_record(RecordKind::kRootSelf, "", self, plan_.time) +
                      directory_record(RecordKind::kParent, "", self, plan_.time);
    for (const auto& [name, sector] : folder_sectors_) {
      out += directory_record(RecordKind::kFolder, name, {sector, kIsoSector}, plan_.time);
    }
    return out;
  }
  std::string folder(const std::string& name, const Folder& entries) const {
    std::string out =
        directory_record(RecordKind::kSelf, "", {folder_sectors_.at(name), kIsoSector},
                         plan_.time) +
        directory_record(RecordKind::kParent, "", {kRootSector, kIsoSector}, plan_.time);
    for (const auto& [leaf, extent] : entries) {
      out += directory_record(RecordKind::kFile, leaf, extent, plan_.time);
    }
    return out;
  }

  const IsoPlan& plan_;
  std::map<std::string, Folder> folders_;
  std::map<std::string, uint32_t> folder_sectors_;
  uint32_t data_sector_ = 0;
  std::string data_;
  Extent loader_, efi_;
};

}  // namespace

std::string write_iso(const IsoPlan& plan) { return Layout(plan).image(); }

}  // namespace iso_builder
