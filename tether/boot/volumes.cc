#include "tether/boot/volumes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "common/io.h"
#include "tether/boot/devices.h"
#include "tether/boot/in_root.h"
#include "tether/boot/volume_fill.h"
#include "tether/boot/volume_users.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

using common::errno_error;
using common::make_error;
using protocol::Stage;

constexpr const char* kStaging = "/run/tether/volumes";

StageError at_volume(common::Error error) { return {Stage::kMountVolume, std::move(error)}; }

std::string hint_for(int why, const VolumeMount& volume) {
  const std::string what = volume.type + " on " + volume.device;
  constexpr const char* kDamaged = ", it is damaged; `vch volume check` looks at it";
  return why == EUCLEAN || why == EBADMSG || why == EINVAL ? what + kDamaged : what;
}

// Where it waits for its place: its content is filled in before anything hides the image's.
common::Result<std::string> stage_disk(const VolumeMount& volume) {
  const std::string place =
      std::string(kStaging) + "/" + volume.device.substr(volume.device.rfind('/') + 1);
  for (const std::string& path : {std::string(kStaging), place}) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error("make", path);
  }
  if (::mount(volume.device.c_str(), place.c_str(), volume.type.c_str(), volume.flags,
              volume.options.c_str()) != 0) {
    const int why = errno;
    return make_error(why, "mount", volume.path, hint_for(why, volume));
  }
  return place;
}

common::Status put_in_place(int root, const VolumeMount& volume, const std::string& staged) {
  ASSIGN_OR_RETURN(const auto point, make_directories_in_root(root, volume.path));
  const std::string target = "/proc/self/fd/" + std::to_string(point.get());
  const int done = staged.empty()
                       ? ::mount(volume.device.c_str(), target.c_str(), volume.type.c_str(),
                                 volume.flags, volume.options.c_str())
                       : ::mount(staged.c_str(), target.c_str(), nullptr, MS_MOVE, nullptr);
  if (done != 0) return errno_error("mount", volume.path, volume.type + " on " + volume.device);
  if (!staged.empty()) ::rmdir(staged.c_str());
  return {};
}

}  // namespace

std::string serial_of_device(dev_t device) {
  return disk_serial("/sys/dev/block/" + std::to_string(major(device)) + ":" +
                     std::to_string(minor(device)));
}

StageResult<void> mount_volumes(int root, const std::vector<VolumeMount>& volumes) {
  std::vector<std::string> staged;
  for (const VolumeMount& volume : volumes) {
    staged.emplace_back();
    if (volume.type == "tmpfs") continue;
    auto place = stage_disk(volume);
    if (place.has_error()) return at_volume(place.error());
    staged.back() = std::move(*place);
    if (!volume.fill) continue;
    if (const auto filled = fill_volume(root, volume.path, staged.back()); filled.has_error()) {
      ::umount2(staged.back().c_str(), MNT_DETACH);
      return at_volume(filled.error());
    }
  }
  for (size_t i = 0; i < volumes.size(); ++i) {
    if (const auto done = put_in_place(root, volumes[i], staged[i]); done.has_error()) {
      if (!staged[i].empty()) ::umount2(staged[i].c_str(), MNT_DETACH);
      return at_volume(done.error());
    }
  }
  return {};
}

StageResult<void> share_root() {
  if (::mount(nullptr, kContainerRoot, nullptr, MS_SHARED | MS_REC, nullptr) == 0) return {};
  return StageError{Stage::kMountRoot, errno_error("share", kContainerRoot)};
}

common::Status unmount_volume(int root, const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string name = path.substr(slash + 1);
  // Neither it nor anything below it: that would keep it in use.
  ASSIGN_OR_RETURN(const auto parent, open_in_root(root, slash == 0 ? "/" : path.substr(0, slash),
                                                   O_PATH | O_DIRECTORY));
  struct stat about {};
  struct stat around {};
  if (::fstatat(parent.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fstat(parent.get(), &around) != 0) {
    return errno_error("unmount", path);
  }
  const std::string serial = serial_of_device(about.st_dev);
  if (about.st_dev == around.st_dev || serial.empty()) {
    return make_error(EINVAL, "unmount", path, "no volume is mounted there");
  }
  if (::fchdir(parent.get()) != 0) return errno_error("enter", path);
  // The last name is no symbolic link's; and what is not a mount point is refused by the kernel.
  if (::umount2(name.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
  if (errno != EBUSY) return errno_error("unmount", path);
  return make_error(EBUSY, "unmount", path, users_of_device(about.st_dev));
}

}  // namespace tether
