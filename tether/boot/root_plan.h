// From the configuration to the rows that build the container's root, and to its volumes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tether/boot/boot_table.h"

namespace tether {

// Gives the device node, e.g. /dev/vda, of the disk with this serial.
using DiskFinder = std::function<common::Result<std::string>(const std::string& serial)>;

// Mounts image, writable layer and overlay at kContainerRoot, or a disk of its own there. Waits for
// the disks.
StageResult<std::vector<BootRow>> root_rows(const protocol::pb::Root& root, const DiskFinder& find);

struct VolumeMount {
  std::string type;     // "ext4" or "tmpfs"
  std::string device;   // or "tmpfs"
  std::string path;     // inside the container
  std::string options;  // of the file system
  unsigned long flags = 0;
  bool fill = false;  // if it is empty, with what the image has at the path
};
common::Result<VolumeMount> volume_mount(const protocol::pb::Volume& volume,
                                         const DiskFinder& find);
// The volumes in the order in which they are mounted: a path before what lies below it.
StageResult<std::vector<VolumeMount>> volume_mounts(const protocol::pb::ContainerVm& config,
                                                    const DiskFinder& find);

}  // namespace tether
