#include "tether/boot/root_plan.h"

#include <sys/mount.h>

#include <algorithm>

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

}  // namespace

StageResult<std::vector<BootRow>> root_rows(const protocol::pb::Root& root,
                                            const DiskFinder& find) {
  std::vector<BootRow> rows;
  for (const char* path : {kBase, kImage, kWritable}) {
    rows.push_back(directory_row(path, 0700));
    rows.back().stage = Stage::kMountRoot;
  }
  auto image = find_disk(find, root.image().serial());
  if (image.has_error()) return image.error();
  rows.push_back(disk_row(Stage::kMountImage, *image, root.image(), kImage, MS_RDONLY));
  if (root.has_writable()) {
    auto writable = find_disk(find, root.writable().serial());
    if (writable.has_error()) return writable.error();
    rows.push_back(disk_row(Stage::kMountWritable, *writable, root.writable(), kWritable, 0));
  } else {
    rows.push_back(mount_row("tmpfs", kWritable, 0, "mode=0755"));
    rows.back().stage = Stage::kMountWritable;
    rows.back().object = "tmpfs";
  }
  add_overlay(rows);
  return rows;
}

StageResult<std::vector<VolumeMount>> volume_mounts(const protocol::pb::ContainerVm& config,
                                                    const DiskFinder& find) {
  std::vector<VolumeMount> volumes;
  for (const auto& volume : config.volumes()) {
    auto device = find_disk(find, volume.disk().serial());
    if (device.has_error()) return device.error();
    volumes.push_back({std::move(*device), volume.path(), volume.read_only()});
  }
  std::sort(volumes.begin(), volumes.end(),
            [](const VolumeMount& a, const VolumeMount& b) { return a.path < b.path; });
  return volumes;
}

}  // namespace tether
