#include "vch/machine/volume_mount.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace vch {

using Json = nlohmann::ordered_json;

void number_volumes(std::vector<VolumeMount>& mounts) {
  std::set<std::string> taken;
  for (const VolumeMount& mount : mounts) taken.insert(mount.serial);
  size_t number = 0;
  for (VolumeMount& mount : mounts) {
    if (mount.is_tmpfs() || !mount.serial.empty()) continue;
    while (taken.contains("vol" + std::to_string(number))) ++number;
    mount.serial = "vol" + std::to_string(number++);
  }
}

void describe_volume(const VolumeMount& mount, tether::v1::Volume& volume) {
  volume.set_path(mount.path);
  volume.set_read_only(mount.read_only);
  volume.set_no_copy(mount.no_copy);
  if (!mount.is_tmpfs()) {
    volume.mutable_disk()->set_serial(mount.serial);
    volume.mutable_disk()->set_file_system("ext4");
    return;
  }
  auto& tmpfs = *volume.mutable_tmpfs();
  tmpfs.set_size(mount.tmpfs.size);
  tmpfs.set_inodes(mount.tmpfs.inodes);
  tmpfs.set_mode(mount.tmpfs.mode);
  tmpfs.set_uid(mount.tmpfs.uid);
  tmpfs.set_gid(mount.tmpfs.gid);
  tmpfs.set_allow_exec(mount.tmpfs.exec);
  tmpfs.set_allow_suid(mount.tmpfs.suid);
  tmpfs.set_allow_devices(mount.tmpfs.devices);
}

void to_json(Json& json, const VolumeMount& mount) {
  json = {{"volume", mount.volume}, {"path", mount.path}, {"read_only", mount.read_only}};
  if (!mount.is_tmpfs()) {
    json["no_copy"] = mount.no_copy;
    json["anonymous"] = mount.anonymous;
    json["serial"] = mount.serial;
    return;
  }
  const TmpfsOptions& tmpfs = mount.tmpfs;
  json["tmpfs"] = {{"size", tmpfs.size}, {"inodes", tmpfs.inodes},  {"mode", tmpfs.mode},
                   {"uid", tmpfs.uid},   {"gid", tmpfs.gid},        {"exec", tmpfs.exec},
                   {"suid", tmpfs.suid}, {"devices", tmpfs.devices}};
}

void from_json(const Json& json, VolumeMount& mount) {
  mount.volume = json.at("volume").get<std::string>();
  mount.path = json.at("path").get<std::string>();
  mount.read_only = json.value("read_only", false);
  mount.no_copy = json.value("no_copy", false);
  mount.anonymous = json.value("anonymous", false);
  mount.serial = json.value("serial", "");
  const Json none = Json::object();
  const Json& given = json.contains("tmpfs") ? json.at("tmpfs") : none;
  TmpfsOptions& tmpfs = mount.tmpfs;
  tmpfs.size = given.value("size", tmpfs.size);
  tmpfs.inodes = given.value("inodes", tmpfs.inodes);
  tmpfs.mode = given.value("mode", tmpfs.mode);
  tmpfs.uid = given.value("uid", tmpfs.uid);
  tmpfs.gid = given.value("gid", tmpfs.gid);
  tmpfs.exec = given.value("exec", tmpfs.exec);
  tmpfs.suid = given.value("suid", tmpfs.suid);
  tmpfs.devices = given.value("devices", tmpfs.devices);
}

}  // namespace vch
