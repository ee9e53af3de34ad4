#include "vch/machine/hot_disk.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "vch/machine/qemu_command.h"
#include "vch/machine/qmp.h"

namespace vch {
namespace {

using common::make_error;
using common::Status;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr const char* kController = "disks";
constexpr auto kPause = std::chrono::milliseconds(10);

std::string device_of(const VolumeMount& mount) { return "hot-" + mount.serial; }
std::string lock_of(const VolumeMount& mount) { return "lock-" + mount.serial; }

Status run(Qmp& qmp, const char* command, const Json& arguments) {
  return qmp.execute(command, kTimeoutMs, arguments.dump());
}

// Its absence at the start saves the start a tenth of a second.
Status ensure_controller(Qmp& qmp) {
  const Status added = run(
      qmp, "device_add", {{"driver", "virtio-scsi-pci"}, {"id", kController}, {"bus", kDiskSlot}});
  const bool there =
      added.has_error() && added.error().detail.find("uplicate") != std::string::npos;
  return there ? Status() : added;
}

Json disk_node(const VolumeMount& mount, const std::string& path) {
  return {{"driver", "raw"},
          {"node-name", device_of(mount)},
          {"read-only", mount.read_only},
          {"discard", "unmap"},
          {"detect-zeroes", mount.read_only ? "off" : "unmap"},
          {"file", {{"driver", "file"}, {"filename", path}, {"aio", "threads"}}}};
}

// The device may still be on its way out.
Status delete_node(Qmp& qmp, const VolumeMount& mount) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  for (;;) {
    Status deleted = run(qmp, "blockdev-del", {{"node-name", device_of(mount)}});
    if (deleted.has_value() || std::chrono::steady_clock::now() > deadline) return deleted;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

Status plug_disk(const Container& container, const VolumeMount& mount, const VolumeInUse& volume) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  RETURN_IF_ERROR(ensure_controller(qmp));
  RETURN_IF_ERROR(qmp.give(lock_of(mount), volume.lock.get(), kTimeoutMs));
  Status done = run(qmp, "blockdev-add", disk_node(mount, volume.disk));
  if (done.has_value()) {
    done = run(qmp, "device_add",
               {{"driver", "scsi-hd"},
                {"id", device_of(mount)},
                {"bus", std::string(kController) + ".0"},
                {"drive", device_of(mount)},
                {"serial", mount.serial}});
    if (done.has_error()) (void)delete_node(qmp, mount);
  }
  if (done.has_error()) (void)run(qmp, "closefd", {{"fdname", lock_of(mount)}});
  return done;
}

Status unplug_disk(const Container& container, const VolumeMount& mount) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  if (run(qmp, "device_del", {{"id", device_of(mount)}}).has_error()) {
    return make_error(EOPNOTSUPP, "unplug volume", mount.volume,
                      "the machine had it from its start and keeps the disk until it ends");
  }
  RETURN_IF_ERROR(delete_node(qmp, mount));
  return run(qmp, "closefd", {{"fdname", lock_of(mount)}});
}

}  // namespace vch
