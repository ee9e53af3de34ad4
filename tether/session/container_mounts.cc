#include "tether/session/container_mounts.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

namespace tether {
namespace {

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
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
    return errno == ENOENT ? 0 : errno;
  }
  const unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | kPlain;
  return ::mount(nullptr, path, nullptr, flags, nullptr) == 0 ? 0 : errno;
}

}  // namespace

std::vector<BootRow> container_rows() {
  std::vector<BootRow> rows;
  for (const char* path : {"/proc", "/sys", "/dev"}) rows.push_back(directory_row(path));
  rows.push_back(mount_row("sysfs", "/sys", kPlain | MS_RDONLY, ""));
  rows.push_back(mount_row("cgroup2", "/sys/fs/cgroup", kPlain | MS_RDONLY, ""));
  rows.push_back(mount_row("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
  for (const char* path : {"/dev/pts", "/dev/shm", "/dev/mqueue"}) {
    rows.push_back(directory_row(path));
  }
  rows.push_back(mount_row("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
                           "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  rows.push_back(mount_row("tmpfs", "/dev/shm", kPlain, "mode=1777,size=65536k"));
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
  for (BootRow& row : rows) row.stage = protocol::Stage::kContainerFiles;
  return rows;
}

ProcFailure mount_proc() {
  if (::mount("proc", "/proc", "proc", kPlain, nullptr) != 0) return {errno, "/proc"};
  for (const char* path : kReadOnly) {
    if (const int failed = protect(path); failed != 0) return {failed, path};
  }
  for (const char* path : kMasked) {
    if (const int failed = mask(path); failed != 0) return {failed, path};
  }
  return {};
}

}  // namespace tether
