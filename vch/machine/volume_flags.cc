// -v, --mount and --tmpfs, as people type them for Docker.
#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "vch/machine/container_config.h"
#include "vch/machine/container_name.h"
#include "vch/machine/volume_mount.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr const char* kNoHostDirectories =
    "a containerVM mounts volumes, not host directories: it is a machine and sees disks alone; see "
    "`vch volume create` and `vch cp`";
constexpr uint32_t kMostMode = 07777;

common::Error refuse(const std::string& flag, const std::string& text, std::string why) {
  return make_error(EINVAL, flag, "'" + text + "'", std::move(why));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// As the agent will read it: one slash between two names, none at the end.
std::string plain_path(std::string_view path) {
  std::string plain;
  for (const char c : path) {
    if (c != '/' || plain.empty() || plain.back() != '/') plain += c;
  }
  if (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  return plain;
}

Status take_path(const std::string& flag, const std::string& text, const std::string& path,
                 VolumeMount& mount) {
  mount.path = plain_path(path);
  const auto parts = split(mount.path, '/');
  const bool climbs = std::any_of(parts.begin(), parts.end(),
                                  [](const auto& part) { return part == "." || part == ".."; });
  if (!mount.path.starts_with('/') || mount.path == "/" || climbs) {
    return refuse(flag, text, "path '" + path + "', want an absolute path in the container");
  }
  return {};
}

Status take_name(const std::string& flag, const std::string& text, const std::string& name,
                 VolumeMount& mount) {
  if (name.find('/') != std::string::npos || name.starts_with('.') || name.starts_with('~')) {
    return refuse(flag, text, kNoHostDirectories);
  }
  RETURN_IF_ERROR(check_name("volume", name));
  mount.volume = name;
  return {};
}

Result<uint32_t> parse_number(std::string_view text, int base) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, base);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return make_error(EINVAL, "number", std::string(text));
  }
  return value;
}

// One of a tmpfs's. False: there is no such option, or it makes no sense.
bool take_tmpfs_option(const std::string& option, VolumeMount& mount) {
  TmpfsOptions& tmpfs = mount.tmpfs;
  struct Switch {
    std::string_view name;
    bool& which;
    bool value;
  };
  for (const Switch& one : {Switch{"ro", mount.read_only, true},
                            {"rw", mount.read_only, false},
                            {"exec", tmpfs.exec, true},
                            {"noexec", tmpfs.exec, false},
                            {"suid", tmpfs.suid, true},
                            {"nosuid", tmpfs.suid, false},
                            {"dev", tmpfs.devices, true},
                            {"nodev", tmpfs.devices, false}}) {
    if (option == one.name) {
      one.which = one.value;
      return true;
    }
  }
  const size_t equals = option.find('=');
  if (equals == std::string::npos) return false;
  const std::string key = option.substr(0, equals);
  const std::string value = option.substr(equals + 1);
  if (key == "size" || key == "nr_inodes") {
    const auto number = parse_size(value);
    if (number.has_error()) return false;
    (key == "size" ? tmpfs.size : tmpfs.inodes) = *number;
    return true;
  }
  const auto number = parse_number(value, key == "mode" ? 8 : 10);
  if (number.has_error()) return false;
  if (key == "mode" && *number <= kMostMode) {
    tmpfs.mode = *number;
  } else if (key == "uid") {
    tmpfs.uid = *number;
  } else if (key == "gid") {
    tmpfs.gid = *number;
  } else {
    return false;
  }
  return true;
}

Result<VolumeMount> parse_tmpfs_flag(const std::string& text) {
  VolumeMount mount;
  const size_t colon = text.find(':');
  RETURN_IF_ERROR(take_path("--tmpfs", text, text.substr(0, colon), mount));
  if (colon == std::string::npos) return mount;
  for (const std::string& option : split(std::string_view(text).substr(colon + 1), ',')) {
    if (take_tmpfs_option(option, mount)) continue;
    return refuse("--tmpfs", text,
                  "option '" + option +
                      "', want ro, exec, suid, dev, size=, mode=, uid=, gid= or "
                      "nr_inodes=");
  }
  return mount;
}

// What of --mount is no option of its own is one of these.
struct MountWords {
  std::string type = "volume", source, target;
};

Status take_mount_option(const std::string& text, const std::string& option, MountWords& words,
                         VolumeMount& mount) {
  const size_t equals = option.find('=');
  const std::string key = option.substr(0, equals);
  const std::string value = equals == std::string::npos ? "true" : option.substr(equals + 1);
  const bool yes = value == "true" || value == "1";
  const bool is_switch = yes || value == "false" || value == "0";
  if (key == "type") {
    words.type = value;
  } else if (key == "source" || key == "src") {
    words.source = value;
  } else if (key == "target" || key == "dst" || key == "destination") {
    words.target = value;
  } else if ((key == "readonly" || key == "ro") && is_switch) {
    mount.read_only = yes;
  } else if (key == "volume-nocopy" && is_switch) {
    mount.no_copy = yes;
  } else if (key == "volume-driver" && value == "local") {
    // There is no other.
  } else if ((key == "tmpfs-size" || key == "tmpfs-mode") &&
             take_tmpfs_option(key.substr(std::string_view("tmpfs-").size()) + "=" + value,
                               mount)) {
    // Taken.
  } else {
    return refuse("--mount", text,
                  "'" + option +
                      "', want type=, source=, target=, readonly, volume-nocopy, "
                      "tmpfs-size= or tmpfs-mode=");
  }
  return {};
}

Result<VolumeMount> parse_mount_flag(const std::string& text) {
  VolumeMount mount;
  MountWords words;
  for (const std::string& option : split(text, ',')) {
    RETURN_IF_ERROR(take_mount_option(text, option, words, mount));
  }
  if (words.type == "bind") return refuse("--mount", text, kNoHostDirectories);
  if (words.type != "volume" && words.type != "tmpfs") {
    return refuse("--mount", text, "type '" + words.type + "', want volume or tmpfs");
  }
  if (words.target.empty()) return refuse("--mount", text, "no target=, the path to mount it at");
  RETURN_IF_ERROR(take_path("--mount", text, words.target, mount));
  if (words.type == "tmpfs") {
    if (words.source.empty()) return mount;
    return refuse("--mount", text, "source= of a tmpfs, which has none");
  }
  if (words.source.empty()) {
    mount.anonymous = true;
    return mount;
  }
  RETURN_IF_ERROR(take_name("--mount", text, words.source, mount));
  return mount;
}

}  // namespace

Result<VolumeMount> parse_volume_flag(const std::string& text) {
  VolumeMount mount;
  const auto parts = split(text, ':');
  if (parts.size() == 1 && text.starts_with('/')) {
    RETURN_IF_ERROR(take_path("volume", text, text, mount));
    mount.anonymous = true;
    return mount;
  }
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty()) {
    return refuse("volume", text, "want NAME:PATH, NAME:PATH:ro or PATH");
  }
  RETURN_IF_ERROR(take_name("volume", text, parts[0], mount));
  RETURN_IF_ERROR(take_path("volume", text, parts[1], mount));
  if (parts.size() < 3) return mount;
  for (const std::string& option : split(parts[2], ',')) {
    if (option == "ro" || option == "rw") {
      mount.read_only = option == "ro";
    } else if (option == "nocopy") {
      mount.no_copy = true;
    } else if (option != "z" && option != "Z") {  // Of SELinux; nobody else has the disk.
      return refuse("volume", text, "option '" + option + "', want ro, rw or nocopy");
    }
  }
  return mount;
}

Result<std::vector<VolumeMount>> parse_volume_flags(const VolumeFlags& flags,
                                                    const std::vector<std::string>& image_volumes) {
  std::vector<VolumeMount> mounts;
  for (const std::string& text : flags.volumes) {
    ASSIGN_OR_RETURN(mounts.emplace_back(), parse_volume_flag(text));
  }
  for (const std::string& text : flags.mounts) {
    ASSIGN_OR_RETURN(mounts.emplace_back(), parse_mount_flag(text));
  }
  for (const std::string& text : flags.tmpfs) {
    ASSIGN_OR_RETURN(mounts.emplace_back(), parse_tmpfs_flag(text));
  }
  std::set<std::string> paths;
  for (const VolumeMount& mount : mounts) {
    if (paths.insert(mount.path).second) continue;
    return refuse("mount", mount.path, "given twice; want one mount at a path");
  }
  for (const std::string& path : image_volumes) {
    VolumeMount mount;
    RETURN_IF_ERROR(take_path("the image's VOLUME", path, path, mount));
    mount.anonymous = true;
    if (paths.insert(mount.path).second) mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace vch
