#include "vch/machine/volume_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/container_name.h"
#include "vch/machine/container_store.h"
#include "vch/machine/disk.h"
#include "vch/machine/lock.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxDescription = 64U << 10U;

Volume volume_at(const std::string& directory, const std::string& name) {
  Volume volume;
  volume.name = name;
  volume.disk = directory + "/disk.ext4";
  volume.lock = directory + "/lock";
  return volume;
}

Result<Volume> read_volume(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/volume.json";
  Volume volume = volume_at(directory, name);
  ASSIGN_OR_RETURN(const std::string text, common::read_file(path, kMaxDescription));
  const Json json = Json::parse(text, nullptr, false);
  const auto number = [&json](const char* member) {
    return json.is_object() && json.contains(member) && json[member].is_number_integer();
  };
  if (!number("size") || !number("created_ns")) {
    return make_error(EBADMSG, "read volume", path,
                      "not a volume's description; `vch volume rm " + name + "` removes it");
  }
  volume.size = json["size"].get<uint64_t>();
  volume.created_ns = json["created_ns"].get<int64_t>();
  try {
    volume.labels = json.value("labels", volume.labels);
    volume.anonymous = json.value("anonymous", false);
  } catch (const Json::exception&) {
    // Nothing depends on them: they are as good as none.
  }
  return volume;
}

Status write_description(const std::string& directory, Volume& volume) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  volume.created_ns = int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
  const Json json = {{"version", 1},
                     {"name", volume.name},
                     {"size", volume.size},
                     {"created_ns", volume.created_ns},
                     {"labels", volume.labels},
                     {"anonymous", volume.anonymous}};
  return common::write_file_atomically(
      directory + "/volume.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n",
      0600);
}

}  // namespace

Result<Volume> VolumeStore::create(const std::string& name, uint64_t size,
                                   std::map<std::string, std::string> labels) {
  Volume volume;
  volume.name = name;
  volume.size = size;
  volume.labels = std::move(labels);
  return make(std::move(volume));
}

Result<Volume> VolumeStore::create_anonymous(uint64_t size) {
  std::array<std::byte, 32> chance{};
  RETURN_IF_ERROR(common::fill_random(chance));
  Volume volume;
  volume.name = common::to_hex(chance);
  volume.size = size;
  volume.anonymous = true;
  return make(std::move(volume));
}

Result<Volume> VolumeStore::make(Volume wanted) {
  const std::string& name = wanted.name;
  const uint64_t size = wanted.size;
  RETURN_IF_ERROR(check_name("volume", name));
  if (size < kLeastDisk) {
    return make_error(EINVAL, "volume size", std::to_string(size),
                      "want at least 4 MiB, as --size 4m");
  }
  const std::string place = directory_ + "/" + name;
  const Status taken =
      make_error(EEXIST, "create volume", name, "`vch volume rm` removes the one there is");
  if (::access(place.c_str(), F_OK) == 0) return taken.error();
  std::string making = directory_ + "/.new-XXXXXX";
  if (::mkdtemp(making.data()) == nullptr)
    return errno_error("create volume directory", directory_);
  common::ScopeGuard remove([&making] {
    std::error_code ignored;
    fs::remove_all(making, ignored);
  });
  Volume volume = volume_at(making, name);
  volume.size = size;
  volume.labels = std::move(wanted.labels);
  volume.anonymous = wanted.anonymous;
  RETURN_IF_ERROR(make_ext4_disk(volume.disk, size));
  RETURN_IF_ERROR(write_description(making, volume));
  // Of two who make the same volume at once, one fails here.
  if (::renameat2(AT_FDCWD, making.c_str(), AT_FDCWD, place.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) return taken.error();
    return errno_error("create volume", name);
  }
  remove.dismiss();
  return find(name);
}

Result<Volume> VolumeStore::find(const std::string& name) const {
  RETURN_IF_ERROR(check_name("volume", name));
  const std::string directory = directory_ + "/" + name;
  if (::access(directory.c_str(), F_OK) != 0) {
    return errno_error("find volume", name, "`vch volume create " + name + "` makes it");
  }
  return read_volume(directory, name);
}

Result<Volume> VolumeStore::find_or_create(const std::string& name) {
  auto volume = find(name);
  if (volume.has_value() || volume.error().code != std::errc::no_such_file_or_directory) {
    return volume;
  }
  auto made = create(name, kDefaultSize);
  // Somebody else made it between the two.
  if (made.has_error() && made.error().code == std::errc::file_exists) return find(name);
  return made;
}

Result<std::vector<Volume>> VolumeStore::list() const {
  std::error_code error;
  std::vector<Volume> volumes;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (check_name("volume", name).has_error()) continue;
    const auto volume = read_volume(it->path().string(), name);
    // One that cannot be read is still there, to be seen and removed.
    volumes.push_back(volume.has_value() ? *volume : volume_at(it->path().string(), name));
  }
  if (error) return make_error(error.value(), "list volumes", directory_);
  std::sort(volumes.begin(), volumes.end(),
            [](const Volume& a, const Volume& b) { return a.name < b.name; });
  return volumes;
}

Result<std::vector<std::string>> VolumeStore::users(const std::string& name) const {
  ASSIGN_OR_RETURN(const auto containers, ContainerStore(state_).list());
  std::vector<std::string> names;
  for (const Container& container : containers) {
    const auto& mounts = container.spec.volumes;
    if (std::any_of(mounts.begin(), mounts.end(),
                    [&name](const VolumeMount& mount) { return mount.volume == name; })) {
      names.push_back(container.spec.name);
    }
  }
  return names;
}

Status VolumeStore::remove(const std::string& name) {
  RETURN_IF_ERROR(check_name("volume", name));
  const std::string directory = directory_ + "/" + name;
  if (::access(directory.c_str(), F_OK) != 0) return errno_error("remove volume", name);
  ASSIGN_OR_RETURN(const auto users, this->users(name));
  const auto lock = take_lock(directory + "/lock");
  if (lock.has_error() && lock.error().code != std::errc::operation_would_block) {
    return lock.error();
  }
  if (lock.has_error() || !users.empty()) {
    std::string by;
    for (const std::string& user : users) by += (by.empty() ? "" : ", ") + user;
    return make_error(EBUSY, "remove volume", name,
                      "in use by " + (by.empty() ? "a running machine" : "container " + by));
  }
  const std::string gone = directory_ + "/.gone-" + name;
  std::error_code error;
  fs::remove_all(gone, error);
  if (::rename(directory.c_str(), gone.c_str()) != 0) return errno_error("remove volume", name);
  fs::remove_all(gone, error);
  if (error) return make_error(error.value(), "remove volume", name);
  return {};
}

}  // namespace vch
