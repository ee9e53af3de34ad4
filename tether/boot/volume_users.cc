#include "tether/boot/volume_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <memory>
#include <string_view>

#include "common/io.h"

namespace tether {
namespace {

constexpr int kMostNamed = 8;
constexpr size_t kMaxText = 16384;
constexpr size_t kMaxMaps = 1U << 20U;

bool lies_on(const std::string& path, dev_t device) {
  struct statx about {};
  // What is known already: a file system of the container's own making need not answer.
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, 0, &about) != 0) return false;
  return makedev(about.stx_dev_major, about.stx_dev_minor) == device;
}

bool has_open(const std::string& process, dev_t device) {
  const std::string place = process + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(place.c_str()), ::closedir);
  if (!directory) return false;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.' && lies_on(place + "/" + entry->d_name, device)) return true;
  }
  return false;
}

bool has_mapped(const std::string& process, dev_t device) {
  char number[32];
  std::snprintf(number, sizeof number, " %02x:%02x ", major(device), minor(device));
  const auto maps = common::read_file(process + "/maps", kMaxMaps);
  return maps.has_value() && maps->find(number) != std::string::npos;
}

bool uses(const std::string& process, dev_t device) {
  for (const char* link : {"/cwd", "/root", "/exe"}) {
    if (lies_on(process + link, device)) return true;
  }
  return has_open(process, device) || has_mapped(process, device);
}

// "name (pid)", the pid as the container sees it.
std::string describe(const std::string& process) {
  const auto status = common::read_file(process + "/status", kMaxText);
  if (status.has_error()) return {};
  const auto value = [&status](std::string_view field) -> std::string_view {
    const size_t at = status->find(field);
    if (at == std::string::npos) return {};
    const std::string_view rest = std::string_view(*status).substr(at + field.size());
    return rest.substr(0, rest.find('\n'));
  };
  const std::string_view pids = value("\nNSpid:");
  return common::escape(value("Name:\t")) + " (" + std::string(pids.substr(pids.rfind('\t') + 1)) +
         ")";
}

}  // namespace

std::string users_of_device(dev_t device) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), ::closedir);
  std::string text;
  int named = 0;
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    const std::string process = std::string("/proc/") + entry->d_name;
    if (!uses(process, device)) continue;
    if (named++ == kMostNamed) return text + ", ...";
    text += (named == 1 ? "in use by " : ", ") + describe(process);
  }
  return text.empty() ? "it is in use" : text;
}

}  // namespace tether
