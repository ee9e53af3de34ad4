// What a container mounts beside its root, and how people say it: Docker's -v, --mount, --tmpfs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"

namespace vch {

// As Docker's --tmpfs; 0 stands for the default, which is the kernel's, or mode 1777.
struct TmpfsOptions {
  uint64_t size = 0;
  uint64_t inodes = 0;
  uint32_t mode = 0, uid = 0, gid = 0;
  bool exec = false, suid = false, devices = false;
};

struct VolumeMount {
  std::string volume;  // a volume's name; empty: a tmpfs
  std::string path;    // inside the container
  bool read_only = false;
  bool no_copy = false;    // an empty one stays empty
  bool anonymous = false;  // made for this container, and goes with it
  std::string serial;      // of its disk in the machine
  TmpfsOptions tmpfs;
  bool is_tmpfs() const { return volume.empty() && !anonymous; }
};

// What the flags say, as typed.
struct VolumeFlags {
  std::vector<std::string> volumes;  // -v [NAME:]PATH[:OPTIONS]
  std::vector<std::string> mounts;   // --mount type=...,...
  std::vector<std::string> tmpfs;    // --tmpfs PATH[:OPTIONS]
};

// Anonymous ones have no name yet. EINVAL names the flag; a host directory is refused with the
// reason, a path that is given twice as well. `image_volumes`: the paths of the image's VOLUME,
// which become anonymous volumes where nothing else is mounted.
common::Result<std::vector<VolumeMount>> parse_volume_flags(
    const VolumeFlags& flags, const std::vector<std::string>& image_volumes);
// One of -v: NAME:PATH[:OPTIONS] or PATH.
common::Result<VolumeMount> parse_volume_flag(const std::string& text);

// Gives disks that have none a serial which nobody of `mounts` has yet.
void number_volumes(std::vector<VolumeMount>& mounts);
void describe_volume(const VolumeMount& mount, tether::v1::Volume& volume);

// Found by the JSON library through their names.
void to_json(nlohmann::ordered_json& json, const VolumeMount& mount);
void from_json(const nlohmann::ordered_json& json, VolumeMount& mount);

}  // namespace vch
