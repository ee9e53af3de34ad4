// Disks as files: sparse, formatted without root.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"

namespace vch {

inline constexpr uint64_t kLeastDisk = uint64_t{4} << 20U;

// Makes a sparse file of `size` bytes (rounded up to whole 4 KiB) with an empty ext4: root owns its
// root directory, and there is no lost+found, so that a volume begins as empty as Docker's. Takes
// milliseconds whatever the size. The file must not exist; after a failure it does not.
common::Status make_ext4_disk(const std::string& path, uint64_t size);

// A second name for the file, or a copy where the file system has no such link.
common::Status link_or_copy(const std::string& from, const std::string& to);
// A copy with the holes of the original; sharing its blocks where the file system can.
common::Status copy_disk(const std::string& from, const std::string& to);

}  // namespace vch
