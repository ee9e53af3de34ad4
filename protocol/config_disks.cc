// Rules about the root and the volumes.
#include <algorithm>
#include <initializer_list>
#include <set>

#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr int kMaxVolumes = 64;
constexpr uint32_t kModes = 07777;

class DiskRules {
 public:
  explicit DiskRules(Problems& out) : out_(out) {}
  void check_root(const pb::ContainerVm& config);
  void check_volume(const pb::Volume& volume, const std::string& field);

 private:
  void check_disk(const pb::Disk& disk, const std::string& field,
                  std::initializer_list<std::string_view> file_systems);
  void check_direct(const pb::Root& root);
  void check_tmpfs(const pb::Tmpfs& tmpfs, const std::string& field);
  Problems& out_;
  std::set<std::string> serials_;
  std::set<std::string> paths_;
};

void DiskRules::check_disk(const pb::Disk& disk, const std::string& field,
                           std::initializer_list<std::string_view> file_systems) {
  const std::string& serial = disk.serial();
  if (serial.empty() || serial.size() > 20 || serial.find('/') != std::string::npos) {
    out_.refuse(field + ".serial", quoted(serial) + ", want 1 to 20 bytes without '/'");
  } else if (serial == kConfigDisk) {
    out_.refuse(field + ".serial", quoted(serial) + " is the configuration's own disk");
  } else if (!serials_.insert(serial).second) {
    out_.refuse(field + ".serial", quoted(serial) + " is given twice");
  }
  if (std::find(file_systems.begin(), file_systems.end(), disk.file_system()) !=
      file_systems.end()) {
    return;
  }
  std::string names;
  for (const auto name : file_systems) names += (names.empty() ? "" : ", ") + std::string(name);
  out_.refuse(field + ".file_system", quoted(disk.file_system()) + ", want one of " + names);
}

void DiskRules::check_direct(const pb::Root& root) {
  out_.require(!root.has_writable(), "root.direct",
               "true, but root.writable names a disk to write to instead");
  out_.require(root.tmpfs_size() == 0, "root.direct",
               "true, but root.tmpfs_size is that of a layer above the image");
}

void DiskRules::check_root(const pb::ContainerVm& config) {
  if (!config.has_root()) return out_.refuse("root", "missing, the image disk must be named");
  const auto& root = config.root();
  if (!root.has_image()) {
    out_.refuse("root.image", "missing, the image disk must be named");
  } else if (root.direct()) {
    check_disk(root.image(), "root.image", {"ext4"});
  } else {
    check_disk(root.image(), "root.image", {"squashfs", "erofs", "ext4"});
  }
  if (root.has_writable()) check_disk(root.writable(), "root.writable", {"ext4"});
  if (root.direct()) return check_direct(root);
  out_.require(!root.read_only() || !root.has_writable(), "root.read_only",
               "true, but root.writable names a writable disk");
  out_.require(!root.read_only() || root.tmpfs_size() == 0, "root.read_only",
               "true, but root.tmpfs_size is a writable layer's");
  out_.require(!root.has_writable() || root.tmpfs_size() == 0, "root.tmpfs_size",
               "given, but root.writable names a disk instead of a tmpfs");
}

void DiskRules::check_tmpfs(const pb::Tmpfs& tmpfs, const std::string& field) {
  out_.require((tmpfs.mode() & ~kModes) == 0, field + ".mode", "want at most 07777");
}

// As the kernel reads it: "//a/" is "/a".
std::string plain_path(std::string_view path) {
  std::string plain;
  for (const char c : path) {
    if (c != '/' || plain.empty() || plain.back() != '/') plain += c;
  }
  if (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  return plain;
}

// What the agent mounts over whatever the configuration has there.
bool is_hidden(const std::string& path) {
  for (const std::string_view own : {"/proc", "/sys"}) {
    if (path == own || path.starts_with(std::string(own) + "/")) return true;
  }
  return path == "/dev";
}

void DiskRules::check_volume(const pb::Volume& volume, const std::string& field) {
  if (volume.has_disk() && volume.has_tmpfs()) {
    out_.refuse(field + ".tmpfs", "given, but " + field + ".disk is too; want one of them");
  } else if (volume.has_tmpfs()) {
    check_tmpfs(volume.tmpfs(), field + ".tmpfs");
  } else if (volume.has_disk()) {
    check_disk(volume.disk(), field + ".disk", {"ext4"});
  } else {
    out_.refuse(field + ".disk", "missing, want a disk or a tmpfs");
  }
  const std::string path = plain_path(volume.path());
  if (!good_path(volume.path()) || path == "/") {
    out_.refuse(field + ".path",
                quoted(volume.path()) + ", want an absolute path without '.' or '..', not '/'");
  } else if (is_hidden(path)) {
    out_.refuse(field + ".path",
                quoted(volume.path()) + ", the machine's own file system is mounted there");
  } else if (!paths_.insert(path).second) {
    out_.refuse(field + ".path", quoted(volume.path()) + " is given twice");
  }
}

}  // namespace

void check_volume(const pb::Volume& volume, const std::string& field, Problems& out) {
  DiskRules(out).check_volume(volume, field);
}

void check_disks(const pb::ContainerVm& config, Problems& out) {
  DiskRules rules(out);
  rules.check_root(config);
  if (config.volumes_size() > kMaxVolumes) {
    return out.refuse("volumes", std::to_string(config.volumes_size()) + " given, at most 64");
  }
  for (int i = 0; i < config.volumes_size(); ++i) {
    rules.check_volume(config.volumes(i), element("volumes", i));
  }
}

}  // namespace protocol
