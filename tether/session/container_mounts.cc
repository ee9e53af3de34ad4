#include "tether/session/container_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "protocol/config.h"

namespace tether {
namespace {

using protocol::pb::Sandbox;

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr uint64_t kShmSize = uint64_t{64} << 20U;
constexpr const char* kMasked[] = {"/proc/acpi",          "/proc/asound",
                                   "/proc/kcore",         "/proc/keys",
                                   "/proc/latency_stats", "/proc/sched_debug",
                                   "/proc/scsi",          "/proc/timer_list",
                                   "/proc/timer_stats",   "/sys/devices/virtual/powercap",
                                   "/sys/firmware"};
constexpr const char* kReadOnly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                     "/proc/sysrq-trigger"};

BootRow device_row(const char* path, unsigned major, unsigned minor) {
  BootRow row;
  row.action = BootRow::Action::kDevice;
  row.target = path;
  row.mode = 0666;
  row.major = major;
  row.minor = minor;
  return row;
}

int mask(const char* path) {
  struct stat about {};
  if (::lstat(path, &about) != 0) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
  const int done = S_ISDIR(about.st_mode)
                       ? ::mount("tmpfs", path, "tmpfs", kPlain | MS_RDONLY, "size=0,nr_inodes=1")
                       : ::mount("/dev/null", path, nullptr, MS_BIND, nullptr);
  return done == 0 ? 0 : errno;
}

int protect(const char* path) {
  if (::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
  }
  struct statvfs about {};
  if (::statvfs(path, &about) != 0) return errno;
  const unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | (about.f_flag & kPlain);
  return ::mount(nullptr, path, nullptr, flags, nullptr) == 0 ? 0 : errno;
}

int write_setting(const std::string& path, const std::string& value) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno;
  const ssize_t written = ::write(fd, value.data(), value.size());
  const int failed = written < 0 ? errno : 0;
  ::close(fd);
  return failed;
}

// What the configuration says, or else `usual`; "" alone is nothing.
template <typename Given, typename Usual>
std::vector<std::string> paths(const Given& given, bool privileged, const Usual& usual) {
  if (given.empty() && privileged) return {};
  if (given.empty()) return {std::begin(usual), std::end(usual)};
  std::vector<std::string> out(given.begin(), given.end());
  std::erase(out, "");
  return out;
}

}  // namespace

std::vector<BootRow> container_rows(const Sandbox& sandbox, std::span<const BootRow> devices) {
  std::vector<BootRow> rows;
  unsigned long machine = kPlain;
  if (!sandbox.privileged()) machine |= MS_RDONLY;
  const uint64_t shm = sandbox.shm_size() != 0 ? sandbox.shm_size() : kShmSize;
  for (const char* path : {"/proc", "/sys", "/dev"}) rows.push_back(directory_row(path));
  rows.push_back(mount_row("sysfs", "/sys", machine, ""));
  rows.push_back(mount_row("cgroup2", "/sys/fs/cgroup", machine, ""));
  rows.push_back(mount_row("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
  for (const char* path : {"/dev/pts", "/dev/shm", "/dev/mqueue"}) {
    rows.push_back(directory_row(path));
  }
  rows.push_back(mount_row("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
                           "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  rows.push_back(mount_row("tmpfs", "/dev/shm", kPlain, "mode=1777,size=" + std::to_string(shm)));
  rows.push_back(mount_row("mqueue", "/dev/mqueue", kPlain, ""));
  rows.push_back(device_row("/dev/null", 1, 3));
  rows.push_back(device_row("/dev/zero", 1, 5));
  rows.push_back(device_row("/dev/full", 1, 7));
  rows.push_back(device_row("/dev/random", 1, 8));
  rows.push_back(device_row("/dev/urandom", 1, 9));
  rows.push_back(device_row("/dev/tty", 5, 0));
  rows.push_back(link_row("pts/ptmx", "/dev/ptmx"));
  rows.push_back(link_row("/proc/self/fd", "/dev/fd"));
  rows.push_back(link_row("/proc/self/fd/0", "/dev/stdin"));
  rows.push_back(link_row("/proc/self/fd/1", "/dev/stdout"));
  rows.push_back(link_row("/proc/self/fd/2", "/dev/stderr"));
  rows.insert(rows.end(), devices.begin(), devices.end());
  for (BootRow& row : rows) row.stage = protocol::Stage::kContainerFiles;
  return rows;
}

ProcPlan plan_proc(const Sandbox& sandbox) {
  ProcPlan plan;
  for (const auto& [name, value] : sandbox.sysctls()) {
    std::string path = "/proc/sys/" + name;
    std::replace(path.begin(), path.end(), '.', '/');
    plan.sysctls.emplace_back(std::move(path), value);
  }
  // One may depend on another; so at least it is the same each time.
  std::sort(plan.sysctls.begin(), plan.sysctls.end());
  plan.read_only = paths(sandbox.read_only_paths(), sandbox.privileged(), kReadOnly);
  plan.masked = paths(sandbox.masked_paths(), sandbox.privileged(), kMasked);
  return plan;
}

ProcFailure mount_proc(const ProcPlan& plan) {
  if (::mount("proc", "/proc", "proc", kPlain, nullptr) != 0) return {errno, "/proc"};
  for (const auto& [path, value] : plan.sysctls) {
    if (const int failed = write_setting(path, value); failed != 0) return {failed, path.c_str()};
  }
  for (const std::string& path : plan.read_only) {
    if (const int failed = protect(path.c_str()); failed != 0) return {failed, path.c_str()};
  }
  for (const std::string& path : plan.masked) {
    if (const int failed = mask(path.c_str()); failed != 0) return {failed, path.c_str()};
  }
  return {};
}

}  // namespace tether
