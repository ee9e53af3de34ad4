// The FAT volume that UEFI looks into: one file, where firmware starts it without being told.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace iso_builder {

struct FatImage {
  std::string bytes;       // a multiple of 2048
  size_t file_offset = 0;  // likewise; the file lies there in one piece
};

// FAT16 with /EFI/BOOT/BOOTX64.EFI = `program`, at most 2 GiB of it. The same inputs give the same
// bytes. Times before 1980 are 1980.
FatImage make_fat_image(std::string_view program, uint32_t time);

}  // namespace iso_builder
