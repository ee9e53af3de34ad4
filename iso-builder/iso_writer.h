// An ISO 9660 image with Rock Ridge names that boots from a CD and from a disk, by BIOS and by
// UEFI.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace iso_builder {

inline constexpr size_t kIsoSector = 2048;
inline constexpr size_t kMbrCodeBytes = 432;

struct IsoFile {
  std::string path;  // of one folder and a name, e.g. "tether/bzImage"
  std::string_view content;
};
// A file whose content lies inside the EFI image already, at a multiple of a sector.
struct IsoInsideFile {
  std::string path;
  size_t offset = 0, size = 0;
};

struct IsoPlan {
  std::vector<IsoFile> files;
  // Of `files`, the one that a BIOS starts (isolinux.bin); it learns where it lies.
  std::string loader_path;
  // A FAT volume that UEFI finds as the CD's second boot entry, and as a partition; empty: none.
  std::string_view efi_image;
  std::vector<IsoInsideFile> inside;
  // What a BIOS starts when the image lies on a disk (isohdpfx.bin); empty: it boots as CD only.
  std::string_view mbr_code;
  uint32_t time = 0;  // of everything in it
};

// The whole image. The same plan gives the same bytes. Everything belongs to root and is read-only;
// each folder's entries must fit into one sector (about 18 files).
std::string write_iso(const IsoPlan& plan);

}  // namespace iso_builder
