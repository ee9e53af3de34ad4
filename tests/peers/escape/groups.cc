#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "escape.h"

namespace escape {
namespace {

constexpr const char* kOwn = "/sys/fs/cgroup/";

std::string agents_group_mounted() {
  std::string error;
  const std::string place = mounted("cgroup2", "", error);
  return place.empty() ? error : try_open(place + "/agent/cgroup.procs", O_RDONLY);
}

// The kernel gives any node of a file system to who names its number.
std::string agents_group_by_handle() {
  alignas(file_handle) std::array<char, sizeof(file_handle) + 8> bytes{};
  auto* handle = reinterpret_cast<file_handle*>(bytes.data());
  handle->handle_bytes = 8;
  handle->handle_type = 0xfe;  // FILEID_KERNFS
  const uint64_t root = 1;
  std::memcpy(bytes.data() + sizeof(file_handle), &root, sizeof root);
  const int mount = ::open(kOwn, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int group = ::open_by_handle_at(mount, handle, O_RDONLY | O_DIRECTORY);
  if (group < 0) return error_name(errno);
  const int file = ::openat(group, "agent/cgroup.freeze", O_WRONLY);
  return file < 0 ? "root's, agent's " + error_name(errno) : "agent's group";
}

std::string own_limit(const char* file, const char* value) {
  return try_write(std::string(kOwn) + file, value);
}
std::string own_pids_limit() { return own_limit("pids.max", "max"); }
std::string own_memory_limit() { return own_limit("memory.max", "max"); }
std::string own_group_frozen() { return own_limit("cgroup.freeze", "1"); }
std::string delegation_undone() {
  std::string error;
  const std::string place = mounted("cgroup2", "", error);
  if (place.empty()) return error;
  if (::mount(nullptr, place.c_str(), nullptr, MS_REMOUNT, "") != 0) return error_name(errno);
  return try_write(place + "/pids.max", "max");
}

std::string older_groups() {
  std::string error;
  const std::string place = mounted("cgroup", "pids", error);
  return place.empty() ? error : "mounted";
}

// Where something is mounted, and what of it: the fourth and fifth words of each line.
std::string agents_mounts() {
  std::istringstream lines(content_of("/proc/self/mountinfo"));
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5 && words >> word; ++i) {
      if (i < 3) continue;
      for (const char* own : {"/run/tether", "/agent", "/root.new", "/tools"}) {
        if (word.starts_with(own)) return "sees " + word;
      }
    }
    if (line.find(" - rootfs") != std::string::npos) return "sees rootfs";
  }
  return count > 3 ? "none" : "too few";
}

// These two are looked at from outside: what PID 1 has mounted stays as it was.
std::string everything_unmounted() {
  if (::unshare(CLONE_NEWNS) != 0) return error_name(errno);
  for (const char* path : {"/proc", "/sys", "/dev"}) ::umount2(path, MNT_DETACH);
  return error_name(::umount2("/", MNT_DETACH) == 0 ? 0 : errno);
}

// It stays, so that it is not missed.
std::string mount_passed_up() {
  return error_name(::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) == 0 &&
                            ::mount("passed-up", "/mnt", "tmpfs", 0, nullptr) == 0
                        ? 0
                        : errno);
}

// A file of the agent's own /run or root by a path that leads up.
std::string agents_files() {
  for (const char* path : {"/proc/1/root/run/tether", "/proc/self/root/../run/tether",
                           "/run/tether", "/proc/1/cwd/../run/tether", "/agent"}) {
    if (::access(path, F_OK) == 0) return std::string("sees ") + path;
  }
  return "none";
}

constexpr Attempt kAttempts[] = {
    {"agents_group_mounted", agents_group_mounted},
    {"agents_group_by_handle", agents_group_by_handle},
    {"own_pids_limit", own_pids_limit},
    {"own_memory_limit", own_memory_limit},
    {"own_group_frozen", own_group_frozen},
    {"delegation_undone", delegation_undone},
    {"older_groups", older_groups},
    {"agents_mounts", agents_mounts},
    {"everything_unmounted", everything_unmounted},
    {"mount_passed_up", mount_passed_up},
    {"agents_files", agents_files},
};

}  // namespace

std::span<const Attempt> group_attempts() { return kAttempts; }

}  // namespace escape
