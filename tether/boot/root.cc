// Assembling the container's root, and taking it apart at the end.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "common/io.h"
#include "tether/boot/container_files.h"
#include "tether/boot/devices.h"
#include "tether/boot/helper.h"
#include "tether/boot/hooks.h"
#include "tether/boot/mount_list.h"
#include "tether/boot/root_plan.h"
#include "tether/boot/volumes.h"
#include "tether/network/resolver.h"
#include "tether/session/launch.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr int kDefaultDiskTimeoutMs = 10000;
constexpr int kMountTimeoutMs = 120000;     // a large journal may have to be replayed
constexpr int64_t kFillTimeoutMs = 600000;  // of a volume's first use
constexpr size_t kMaxMountList = 1U << 20U;
constexpr int kReapTurnMs = 20;

std::string hostname_of(const protocol::pb::ContainerVm& config) {
  return config.hostname().empty() ? config.id().substr(0, 12) : config.hostname();
}

StageResult<void> assemble(const protocol::pb::ContainerVm& config, const DiskFinder& find) {
  const auto rows = root_rows(config.root(), find);
  if (rows.has_error()) return rows.error();
  const auto volumes = volume_mounts(config, find);
  if (volumes.has_error()) return volumes.error();
  if (auto done = run_rows(*rows, real_system()); done.has_error()) return done;
  const auto root = common::open_file(kContainerRoot, O_PATH | O_DIRECTORY);
  if (root.has_error()) return StageError{Stage::kMountRoot, root.error()};
  if (auto done = mount_volumes(root->get(), *volumes); done.has_error()) return done;
  const auto files = write_container_files(root->get(), hostname_of(config), config.network());
  if (files.has_error()) return StageError{Stage::kContainerFiles, files.error()};
  // For changes to come; without it the file stays as it is.
  (void)common::write_file_atomically(kLastResolvConf, make_resolv_conf(config.network()), 0600);
  if (const auto done = add_authorities(root->get()); done.has_error()) {
    return StageError{Stage::kContainerFiles, done.error()};
  }
  return share_root();
}

void unmount(const std::string& path) {
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) == 0) return;
  // Somebody still holds it: what can be had is that nothing more is written.
  ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

StageResult<void> unmount_all() {
  const auto list = common::read_file("/proc/self/mounts", kMaxMountList);
  if (list.has_value()) {
    for (const std::string& path : mounts_below(*list, "/run/tether/")) unmount(path);
  }
  ::sync();
  return {};
}

bool populated(int events) {
  char text[128] = {};
  const ssize_t n = ::pread(events, text, sizeof text - 1, 0);
  return n > 0 && std::strstr(text, "populated 1") != nullptr;
}

// Dead processes of the container hold its namespaces, and these its mounts, until they are reaped.
void kill_container(uint64_t deadline_ms) {
  const std::string group = kContainerCgroup;
  real_system().write_file(group + "/cgroup.kill", "1");
  const common::UniqueFd events(::open((group + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  while (events && populated(events.get()) && now_ms() < deadline_ms) {
    pollfd waiting{events.get(), POLLPRI, 0};
    ::poll(&waiting, 1, kReapTurnMs);
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
  }
  while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
  }
}

}  // namespace

StageResult<void> assemble_root(const protocol::pb::ContainerVm& config) {
  const int disk_timeout = config.disk_timeout_ms() == 0
                               ? kDefaultDiskTimeoutMs
                               : static_cast<int>(std::min(config.disk_timeout_ms(), 3600000U));
  const DiskFinder find = [&](const std::string& serial) -> common::Result<std::string> {
    ASSIGN_OR_RETURN(const std::string name, find_device("/sys/block", "serial", serial,
                                                         disk_timeout, kernel_announcements()));
    return "/dev/" + name;
  };
  // Each disk may take its whole time.
  const int disks = 2 + config.volumes_size();
  const int64_t limit = int64_t{disks} * disk_timeout + kMountTimeoutMs +
                        int64_t{config.volumes_size()} * kFillTimeoutMs;
  auto done = run_helper(Stage::kMountRoot, "the root to be mounted",
                         static_cast<int>(std::min<int64_t>(limit, INT32_MAX)),
                         [&] { return assemble(config, find); });
  if (done.has_error()) return done;
  if (const auto hooks = run_hooks("root"); hooks.has_error()) {
    return StageError{Stage::kContainerFiles, hooks.error()};
  }
  return {};
}

bool tear_down_root(int timeout_ms) {
  uint64_t deadline = now_ms() + static_cast<uint64_t>(timeout_ms);
  kill_container(deadline);
  const uint64_t begin = now_ms();
  (void)run_hooks("stop", kHooks, timeout_ms);
  deadline += now_ms() - begin;  // a hook that dawdles takes nothing from the unmounting
  const uint64_t now = now_ms();
  return run_helper(Stage::kShutdown, "unmounting",
                    static_cast<int>(now < deadline ? deadline - now : 1), unmount_all)
      .has_value();
}

}  // namespace tether
