// Image disks of other formats than the image store's own.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "vch/machine/state_dir.h"

namespace vch {

// Of the free space in an ext4 image disk, which is sparse: what a root that is written to has.
inline constexpr uint64_t kDirectRootSize = uint64_t{10} << 30U;

// The disk with the content of `squashfs`, one of the image store's, as "squashfs", "erofs" or
// "ext4": made when there is none yet, and kept beside it until the image is removed. Needs no
// root: owners and devices are fakeroot's. Takes about as long as unpacking the image twice.
common::Result<std::string> root_disk(const StateDir& state, const std::string& squashfs,
                                      const std::string& format);

}  // namespace vch
