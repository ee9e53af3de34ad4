// What the container has run out of: processes, and room in its file systems.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "tether/session/launch.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr uint64_t kLookMs = 5000;
constexpr uint64_t kPidsQuietMs = 60000;  // a container that forks without end would wake us always
constexpr const char* kWritable = "/run/tether/writable";  // where root_plan.cc mounts it

// By what the kernel has in memory alone, and along nothing that the container could have laid: it
// neither blocks nor leads elsewhere. Descriptors are not kept, since they would keep a volume from
// being unmounted.
common::UniqueFd open_mount(const char* path) {
  const common::UniqueFd root(::open(kContainerRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED;
  return common::UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, root.get(), path, &how, sizeof how)));
}

// As the kernel counts them; 0 of any other file system.
uint64_t ext4_errors(int at) {
  struct stat about {};
  if (::fstat(at, &about) != 0) return 0;
  std::array<char, 96> path{};
  std::array<char, 256> device{};
  std::snprintf(path.data(), path.size(), "/sys/dev/block/%u:%u", major(about.st_dev),
                minor(about.st_dev));
  const ssize_t size = ::readlink(path.data(), device.data(), device.size() - 1);
  if (size <= 0) return 0;
  const char* name = std::strrchr(device.data(), '/');
  if (name == nullptr) return 0;
  std::snprintf(path.data(), path.size(), "/sys/fs/ext4%.32s/errors_count", name);
  const common::UniqueFd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : 0;
  uint64_t errors = 0;
  if (n > 0) std::from_chars(text.data(), text.data() + n, errors);
  return errors;
}

}  // namespace

void Supervisor::watch_space() {
  const auto& config = boot_.config;
  if (!config.root().read_only()) space_.push_back({"/", config.root().direct()});
  for (const auto& volume : config.volumes()) {
    if (!volume.read_only()) space_.push_back({volume.path(), true});
  }
  if (!space_.empty()) look_at_space();
}

void Supervisor::look_at_space() {
  next_look_ms_ = system_.now_ms() + kLookMs;
  for (Space& space : space_) {
    // Of an overlay the layer below says more: when its disk has failed.
    const common::UniqueFd at = space.mounted
                                    ? open_mount(space.path.c_str())
                                    : common::UniqueFd(::open(kWritable, O_PATH | O_CLOEXEC));
    struct statfs now {};
    if (!at || ::fstatfs(at.get(), &now) != 0) continue;
    tell_trouble(space.watch.look(now, ext4_errors(at.get())), space.path);
  }
}

void Supervisor::tell_trouble(protocol::Trouble trouble, std::string_view what) {
  if (trouble == protocol::Trouble::kNone) return;
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kTrouble;
  record.value = static_cast<uint32_t>(trouble);
  record.payload = what;
  event(record);
}

void Supervisor::watch_pids() {
  pids_events_.reset(
      ::openat(container_cgroup_.get(), "pids.events", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!pids_events_) return;
  std::array<char, 64> text;
  (void)!::pread(pids_events_.get(), text.data(), text.size(), 0);  // From now on.
  watch(pids_events_.get(), EPOLLPRI, Source::kPids);
}

void Supervisor::on_pids_events() {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pids_events_.get(), nullptr);
  pids_quiet_ms_ = system_.now_ms() + kPidsQuietMs;
  std::array<char, 64> text;
  const int fd = stats_[static_cast<size_t>(StatsFile::kPidsMax)].get();
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  const std::string_view limit(text.data(), n > 0 ? static_cast<size_t>(n) - 1 : 0);
  tell_trouble(protocol::Trouble::kProcesses, limit);
}

void Supervisor::on_trouble_deadlines(uint64_t now) {
  if (next_look_ms_ != 0 && now >= next_look_ms_) look_at_space();
  if (pids_quiet_ms_ == 0 || now < pids_quiet_ms_) return;
  pids_quiet_ms_ = 0;
  watch_pids();
}

}  // namespace tether
