// The flags about a container's root and volumes.
#pragma once

#include <string>
#include <vector>

#include "vch/cli/context.h"
#include "vch/machine/volume_mount.h"

namespace vch {

struct DiskFlags {
  VolumeFlags mounts;
  bool read_only = false;
  bool ephemeral = false;
  std::string root_format = "squashfs";
  std::vector<std::string> storage_options;  // "size=20g"
};

void add_disk_flags(CLI::App& command, DiskFlags& flags);

// Says in both what the root and the volumes are; makes nothing yet. Errors name the flag. Gives
// the size of the writable layer.
common::Result<uint64_t> describe_disks(const DiskFlags& flags,
                                        const std::vector<std::string>& image_volumes,
                                        ContainerSpec& spec, protocol::pb::ContainerVm& config);
// Makes those volumes that are not there, and names the anonymous ones.
common::Status make_volumes(const StateDir& state, ContainerSpec& spec);
// After a failure: those that were made for this container alone.
void unmake_volumes(const StateDir& state, const ContainerSpec& spec);

}  // namespace vch
