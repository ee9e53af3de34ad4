#include "tether/boot/volume_main.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>

#include "common/io.h"
#include "protocol/control.pb.h"
#include "protocol/journal.h"
#include "tether/boot/devices.h"
#include "tether/boot/in_root.h"
#include "tether/boot/volumes.h"
#include "tether/session/launch.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using common::Result;
using protocol::VolumeNews;

constexpr unsigned kTimeLimitS = 600;  // a first use copies what the image has
// A controller that came with the first disk is still asking 256 targets when the second comes.
constexpr int kDiskTimeoutMs = 30000;
constexpr size_t kMaxRequest = 1U << 20U;

common::Result<std::string> find(const std::string& serial) {
  const DeviceWait wait = kernel_announcements();
  const uint64_t deadline = now_ms() + kDiskTimeoutMs;
  ASSIGN_OR_RETURN(const std::string name,
                   find_device("/sys/block", "serial", serial, kDiskTimeoutMs, wait));
  // One that has just come has a name and a serial before it can be opened.
  for (;;) {
    const auto opened = common::open_file("/dev/" + name, O_RDONLY);
    if (opened.has_value()) return "/dev/" + name;
    const int why = opened.error().code.value();
    if ((why != ENXIO && why != ENOENT) || !wait(deadline)) return opened.error();
  }
}

template <size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  from.copy(to.data(), N - 1);
}

VolumeChange describe(VolumeNews what, const std::string& path, const std::string& repair) {
  VolumeChange change;
  change.what = static_cast<uint32_t>(what);
  copy_text(change.path, path);
  copy_text(change.repair, repair);
  return change;
}

// Asked for again by somebody who missed the answer.
bool is_mounted(int root, const tether::v1::Volume& volume) {
  const auto place = open_in_root(root, volume.path(), O_PATH | O_DIRECTORY);
  struct stat about {};
  return volume.has_disk() && place.has_value() && ::fstat(place->get(), &about) == 0 &&
         serial_of_device(about.st_dev) == volume.disk().serial();
}

Result<VolumeChange> work() {
  const std::string path = "/proc/self/fd/" + std::to_string(kVolumeFd);
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, kMaxRequest));
  tether::v1::Request request;
  if (!request.ParseFromString(bytes)) return common::make_error(EBADMSG, "parse", "request");
  ASSIGN_OR_RETURN(const auto root, common::open_file(kContainerRoot, O_PATH | O_DIRECTORY));
  if (request.has_unmount_volume()) {
    const std::string& where = request.unmount_volume().path();
    RETURN_IF_ERROR(unmount_volume(root.get(), where));
    return describe(VolumeNews::kDetached, where, "");
  }
  const auto& volume = request.mount_volume().volume();
  if (is_mounted(root.get(), volume)) return VolumeChange{};
  ASSIGN_OR_RETURN(const VolumeMount mount, volume_mount(volume, find));
  if (const auto done = mount_volumes(root.get(), {mount}); done.has_error()) {
    return done.error().error;
  }
  return describe(VolumeNews::kAttached, volume.path(), request.mount_volume().repair());
}

void replace_file(std::string_view bytes) {
  if (::ftruncate(kVolumeFd, 0) != 0) return;
  ::lseek(kVolumeFd, 0, SEEK_SET);
  (void)common::write_all(kVolumeFd, bytes, "volume change");
}

}  // namespace

void volume_main() {
  ::alarm(kTimeLimitS);
  tether::v1::Failure failure;
  try {
    const auto done = work();
    if (done.has_value()) {
      replace_file({reinterpret_cast<const char*>(&*done), sizeof *done});
    } else {
      const common::Error& error = done.error();
      failure.set_errno_value(error.code ? static_cast<uint32_t>(error.code.value()) : EIO);
      failure.set_object(common::escape(error.object));
      failure.set_hint(common::escape(error.detail));
    }
  } catch (const std::exception&) {
    failure.set_errno_value(ENOMEM);
  }
  if (failure.errno_value() != 0) replace_file(failure.SerializeAsString());
  ::_exit(static_cast<int>(failure.errno_value()));
}

}  // namespace tether
