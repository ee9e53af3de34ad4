#include "vch/machine/volume_use.h"

#include <algorithm>
#include <cstdio>

#include "vch/machine/disk_check.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::UniqueFd;

std::string user_of_volume(const Container& wanting, const VolumeMount& mount,
                           const StateDir& state) {
  const auto containers = ContainerStore(state).list();
  if (containers.has_value()) {
    for (const Container& other : *containers) {
      const auto& mounts = other.spec.volumes;
      const bool names_it =
          std::any_of(mounts.begin(), mounts.end(),
                      [&mount](const VolumeMount& m) { return m.volume == mount.volume; });
      if (names_it && other.spec.id != wanting.spec.id && machine_running(other)) {
        return "container " + other.spec.name;
      }
    }
  }
  return "another machine";
}

// Writers have a volume alone: two kernels with one ext4 would ruin it. Readers share it.
Result<UniqueFd> lock_volume(const Container& container, const VolumeMount& mount,
                             const Volume& volume, const StateDir& state) {
  auto lock = take_lock(volume.lock, mount.read_only ? LockKind::kShared : LockKind::kExclusive);
  if (lock.has_value() || lock.error().code != std::errc::operation_would_block) return lock;
  const auto& mounts = container.spec.volumes;
  if (std::count_if(mounts.begin(), mounts.end(),
                    [&mount](const VolumeMount& m) { return m.volume == mount.volume; }) > 1) {
    return make_error(EINVAL, "mount volume", mount.volume, "given twice; that needs :ro for both");
  }
  return make_error(EBUSY, "mount volume", mount.volume,
                    "in use by " + user_of_volume(container, mount, state));
}

Result<std::string> look_after(const std::string& disk, const std::string& what) {
  ASSIGN_OR_RETURN(std::string note, check_ext4_disk(disk, what));
  if (!note.empty()) std::fprintf(stderr, "vch: %s\n", note.c_str());
  return note;
}

}  // namespace

Result<VolumeInUse> take_volume(const Container& container, const VolumeMount& mount,
                                const StateDir& state) {
  ASSIGN_OR_RETURN(const Volume volume, VolumeStore(state).find(mount.volume));
  const std::string what = "volume " + mount.volume;
  VolumeInUse use;
  use.disk = volume.disk;
  if (mount.read_only) {
    // Readers share it, and look after it only while it is nobody's.
    if (const auto alone = take_lock(volume.lock); alone.has_value()) {
      ASSIGN_OR_RETURN(use.repair, look_after(use.disk, what));
    }
  }
  ASSIGN_OR_RETURN(use.lock, lock_volume(container, mount, volume, state));
  if (!mount.read_only) {
    ASSIGN_OR_RETURN(use.repair, look_after(use.disk, what));
  }
  return use;
}

Result<std::string> check_root_disk(const Container& container) {
  const std::string what = "the root of container " + container.spec.name;
  const std::string& layer = container.spec.root_layer;
  if (layer == "disk") return look_after(container.file("writable.ext4"), what);
  if (layer == "direct") return look_after(container.file("image.ext4"), what);
  return std::string();
}

}  // namespace vch
