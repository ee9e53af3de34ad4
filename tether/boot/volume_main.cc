#include "tether/boot/volume_main.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

#include "common/io.h"
#include "protocol/control.pb.h"
#include "tether/boot/devices.h"
#include "tether/boot/in_root.h"
#include "tether/boot/volumes.h"
#include "tether/session/launch.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using common::Status;

constexpr unsigned kTimeLimitS = 600;  // a first use copies what the image has
constexpr int kDiskTimeoutMs = 10000;
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

// Asked for again by somebody who missed the answer.
bool is_mounted(int root, const tether::v1::Volume& volume) {
  const auto place = open_in_root(root, volume.path(), O_PATH | O_DIRECTORY);
  struct stat about {};
  return volume.has_disk() && place.has_value() && ::fstat(place->get(), &about) == 0 &&
         serial_of_device(about.st_dev) == volume.disk().serial();
}

Status work() {
  const std::string path = "/proc/self/fd/" + std::to_string(kVolumeFd);
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, kMaxRequest));
  tether::v1::Request request;
  if (!request.ParseFromString(bytes)) return common::make_error(EBADMSG, "parse", "request");
  ASSIGN_OR_RETURN(const auto root, common::open_file(kContainerRoot, O_PATH | O_DIRECTORY));
  if (request.has_unmount_volume()) {
    return unmount_volume(root.get(), request.unmount_volume().path());
  }
  const auto& volume = request.mount_volume().volume();
  if (is_mounted(root.get(), volume)) return {};
  ASSIGN_OR_RETURN(const VolumeMount mount, volume_mount(volume, find));
  if (const auto done = mount_volumes(root.get(), {mount}); done.has_error()) {
    return done.error().error;
  }
  return {};
}

}  // namespace

void volume_main() {
  ::alarm(kTimeLimitS);
  tether::v1::Failure failure;
  try {
    if (const Status done = work(); done.has_error()) {
      const common::Error& error = done.error();
      failure.set_errno_value(error.code ? static_cast<uint32_t>(error.code.value()) : EIO);
      failure.set_object(common::escape(error.object));
      failure.set_hint(common::escape(error.detail));
    }
  } catch (const std::exception&) {
    failure.set_errno_value(ENOMEM);
  }
  if (failure.errno_value() != 0 && ::ftruncate(kVolumeFd, 0) == 0) {
    ::lseek(kVolumeFd, 0, SEEK_SET);
    (void)common::write_all(kVolumeFd, failure.SerializeAsString(), "failure");
  }
  ::_exit(static_cast<int>(failure.errno_value()));
}

}  // namespace tether
