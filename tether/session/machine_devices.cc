// The nodes of a privileged container's /dev.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <string>

#include "tether/boot/device_rules.h"
#include "tether/session/container_mounts.h"

namespace tether {
namespace {

constexpr const char* kDevices = "/dev";
constexpr size_t kMostRows = 512;

constexpr const char* kInEveryContainer[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"};
constexpr const char* kMountedOver[] = {"/dev/pts", "/dev/shm", "/dev/mqueue"};

// udev would let everybody open them, and programs that are not root's expect that.
constexpr const char* kForEverybody[] = {"/dev/fuse", "/dev/net/tun"};

bool is_mounted_over(const std::string& path) {
  return std::find(std::begin(kMountedOver), std::end(kMountedOver), path) !=
         std::end(kMountedOver);
}

bool every_container_has(const std::string& path) {
  return std::find(std::begin(kInEveryContainer), std::end(kInEveryContainer), path) !=
         std::end(kInEveryContainer);
}

bool is_for_everybody(const std::string& path) {
  return std::find(std::begin(kForEverybody), std::end(kForEverybody), path) !=
         std::end(kForEverybody);
}

// False: it is no device of the container's.
bool describe(const std::string& path, std::span<const DeviceRange> agents, BootRow& row) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) return false;
  row.target = path;
  row.fatal = false;
  if (S_ISDIR(about.st_mode)) {
    row.action = BootRow::Action::kDirectory;
    row.mode = about.st_mode & 07777;
    return true;
  }
  if (!S_ISCHR(about.st_mode) && !S_ISBLK(about.st_mode)) return false;
  row.action = BootRow::Action::kDevice;
  row.mode = about.st_mode | (is_for_everybody(path) ? 0666U : 0U);
  row.major = major(about.st_rdev);
  row.minor = minor(about.st_rdev);
  const bool block = S_ISBLK(about.st_mode);
  for (const DeviceRange& range : agents) {
    if (!block && range.holds(row.major, row.minor)) return false;
  }
  return !every_container_has(path);
}

}  // namespace

std::vector<BootRow> machine_devices() {
  const auto agents = agent_devices();
  std::vector<BootRow> rows;
  // Directories stand before what is in them, and are looked into in turn.
  std::vector<std::string> directories = {kDevices};
  for (size_t i = 0; i < directories.size(); ++i) {
    DIR* listing = ::opendir(directories[i].c_str());
    if (listing == nullptr) continue;
    while (const dirent* entry = ::readdir(listing)) {
      const std::string path = directories[i] + "/" + entry->d_name;
      BootRow row;
      if (entry->d_name[0] == '.' || is_mounted_over(path) || rows.size() == kMostRows) continue;
      if (!describe(path, agents, row)) continue;
      if (row.action == BootRow::Action::kDirectory) directories.push_back(path);
      rows.push_back(std::move(row));
    }
    ::closedir(listing);
  }
  return rows;
}

}  // namespace tether
