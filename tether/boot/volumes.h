// Mounting the container's volumes, filling new ones, and taking them away. Blocking; for helpers,
// never for PID 1 itself: the disks and the paths are whatever the container made of them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tether/boot/boot.h"
#include "tether/boot/root_plan.h"

namespace tether {

// Mounts them below `root`, an O_PATH descriptor of the container's root, in the given order. All
// empty ones are filled first, from the root as it is without any of them. Directories that are
// missing are made.
StageResult<void> mount_volumes(int root, const std::vector<VolumeMount>& volumes);

// From here on what is mounted below kContainerRoot appears in the container as well, and goes
// from there with it.
StageResult<void> share_root();

// Of the disk with this device number; empty when it has none.
std::string serial_of_device(dev_t device);

// Unmounts the volume at `path`. EINVAL when no disk of `volumes` is mounted just there; EBUSY,
// and who uses it, while somebody does.
common::Status unmount_volume(int root, const std::string& path);

}  // namespace tether
