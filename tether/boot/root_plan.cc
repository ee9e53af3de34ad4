#include "tether/boot/root_plan.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "tether/session/launch.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr const char* kBase = "/run/tether";
constexpr const char* kImage = "/run/tether/image";
constexpr const char* kWritable = "/run/tether/writable";
constexpr const char* kUpper = "/run/tether/writable/upper";
constexpr const char* kWork = "/run/tether/writable/work";

StageResult<std::string> find_disk(const DiskFinder& find, const std::string& serial) {
  auto device = find(serial);
  if (device.has_error()) return StageError{Stage::kFindDisk, device.error()};
  return std::move(*device);
}

BootRow disk_row(Stage stage, const std::string& device, const protocol::pb::Disk& disk,
                 const char* target, unsigned long flags) {
  BootRow row = mount_row(disk.file_system(), target, flags, "");
  row.stage = stage;
  row.source = device;
  row.object = disk.serial();
  row.hint = disk.file_system() + " on " + device;
  return row;
}

void add_overlay(std::vector<BootRow>& rows) {
  std::vector<BootRow> layer;
  layer.push_back(directory_row(kUpper));
  layer.push_back(directory_row(kWork));
  // The root directory's own owner and mode are the upper layer's.
  BootRow owner;
  owner.action = BootRow::Action::kOwner;
  owner.source = kImage;
  owner.target = kUpper;
  layer.push_back(owner);
  layer.push_back(directory_row(kContainerRoot));
  BootRow overlay =
      mount_row("overlay", kContainerRoot, 0,
                std::string("lowerdir=") + kImage + ",upperdir=" + kUpper + ",workdir=" + kWork);
  overlay.object = "overlay";
  layer.push_back(overlay);
  for (BootRow& row : layer) {
    row.stage = Stage::kMountRoot;
    rows.push_back(std::move(row));
  }
}

unsigned long tmpfs_flags(const protocol::pb::Tmpfs& tmpfs) {
  unsigned long flags = 0;
  if (!tmpfs.allow_exec()) flags |= MS_NOEXEC;
  if (!tmpfs.allow_suid()) flags |= MS_NOSUID;
  if (!tmpfs.allow_devices()) flags |= MS_NODEV;
  return flags;
}

std::string tmpfs_options(const protocol::pb::Tmpfs& tmpfs) {
  constexpr uint32_t kDefaultMode = 01777;
  std::array<char, 24> mode{};
  std::snprintf(mode.data(), mode.size(), "mode=%o",
                tmpfs.mode() == 0 ? kDefaultMode : tmpfs.mode());
  std::string options = mode.data();
  const auto add = [&options](const char* name, uint64_t value) {
    if (value != 0) options += std::string(",") + name + "=" + std::to_string(value);
  };
  add("size", tmpfs.size());
  add("nr_inodes", tmpfs.inodes());
  add("uid", tmpfs.uid());
  add("gid", tmpfs.gid());
  return options;
}

}  // namespace

StageResult<std::vector<BootRow>> root_rows(const protocol::pb::Root& root,
                                            const DiskFinder& find) {
  std::vector<BootRow> rows;
  const auto add_directory = [&rows](const char* path, mode_t mode) {
    rows.push_back(directory_row(path, mode));
    rows.back().stage = Stage::kMountRoot;
  };
  for (const char* path : {kBase, kImage, kWritable}) add_directory(path, 0700);
  auto image = find_disk(find, root.image().serial());
  if (image.has_error()) return image.error();
  if (root.direct()) {
    // Also where the container may only read it: the agent writes hosts and mount points.
    add_directory(kContainerRoot, 0755);
    rows.push_back(disk_row(Stage::kMountImage, *image, root.image(), kContainerRoot, 0));
    return rows;
  }
  rows.push_back(disk_row(Stage::kMountImage, *image, root.image(), kImage, MS_RDONLY));
  if (root.has_writable()) {
    auto writable = find_disk(find, root.writable().serial());
    if (writable.has_error()) return writable.error();
    rows.push_back(disk_row(Stage::kMountWritable, *writable, root.writable(), kWritable, 0));
  } else {
    std::string options = "mode=0755";
    if (root.tmpfs_size() != 0) options += ",size=" + std::to_string(root.tmpfs_size());
    rows.push_back(mount_row("tmpfs", kWritable, 0, std::move(options)));
    rows.back().stage = Stage::kMountWritable;
    rows.back().object = "tmpfs";
  }
  add_overlay(rows);
  return rows;
}

common::Result<VolumeMount> volume_mount(const protocol::pb::Volume& volume,
                                         const DiskFinder& find) {
  VolumeMount mount;
  mount.path = volume.path();
  if (volume.read_only()) mount.flags |= MS_RDONLY;
  if (volume.has_tmpfs()) {
    mount.type = mount.device = "tmpfs";
    mount.flags |= tmpfs_flags(volume.tmpfs());
    mount.options = tmpfs_options(volume.tmpfs());
    return mount;
  }
  mount.type = volume.disk().file_system();
  ASSIGN_OR_RETURN(mount.device, find(volume.disk().serial()));
  // What a read-only disk lacks cannot be given to it.
  mount.fill = !volume.no_copy() && !volume.read_only();
  return mount;
}

StageResult<std::vector<VolumeMount>> volume_mounts(const protocol::pb::ContainerVm& config,
                                                    const DiskFinder& find) {
  std::vector<VolumeMount> volumes;
  for (const auto& volume : config.volumes()) {
    auto mount = volume_mount(volume, find);
    if (mount.has_error()) return StageError{Stage::kFindDisk, mount.error()};
    volumes.push_back(std::move(*mount));
  }
  std::sort(volumes.begin(), volumes.end(),
            [](const VolumeMount& a, const VolumeMount& b) { return a.path < b.path; });
  return volumes;
}

}  // namespace tether
