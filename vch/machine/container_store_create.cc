// How containers come to be.
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/container_directory.h"
#include "vch/machine/container_name.h"
#include "vch/machine/container_spec.h"
#include "vch/machine/container_store.h"
#include "vch/machine/disk.h"
#include "vch/machine/lock.h"
#include "vch/machine/upgrade_key.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr size_t kShortId = 12;
constexpr size_t kKeySize = 32;
constexpr int kNameAttempts = 100;
constexpr std::chrono::hours kAbandoned{1};

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

Result<std::string> random_bytes(size_t size) {
  std::string bytes(size, '\0');
  RETURN_IF_ERROR(common::fill_random(std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

// Not atomic: the directory has no name yet that a reader would look at.
Status write_file(const std::string& path, std::string_view content, unsigned mode) {
  ASSIGN_OR_RETURN(const auto fd, common::open_file(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  RETURN_IF_ERROR(common::write_all(fd.get(), content, path));
  // After a crash of the host a container is there with its description, or not at all.
  if (::fdatasync(fd.get()) != 0) return errno_error("write", path);
  return {};
}

// What a creator or remover that was killed left behind. A living creator holds its machine.lock.
void remove_abandoned(const std::string& directory) {
  std::error_code ignored;
  const auto old = fs::file_time_type::clock::now() - kAbandoned;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    // Of one that had migrated and is no more.
    if (entry.is_symlink(ignored) && !fs::exists(entry.path(), ignored)) {
      fs::remove(entry.path(), ignored);
      continue;
    }
    if (!name.starts_with(kUnfinished) && !name.starts_with(kRemoved)) continue;
    if (entry.last_write_time(ignored) > old || is_locked(entry.path().string() + "/machine.lock"))
      continue;
    fs::remove_all(entry.path(), ignored);
  }
}

Result<std::string> choose_name(const std::string& wanted,
                                const std::vector<Container>& containers) {
  const auto holder = [&containers](const std::string& name) {
    return std::find_if(containers.begin(), containers.end(),
                        [&name](const Container& c) { return c.spec.name == name; });
  };
  if (!wanted.empty()) {
    const auto other = holder(wanted);
    if (other == containers.end()) return wanted;
    return make_error(EEXIST, "create container", "'" + wanted + "'",
                      "container " + other->spec.id.substr(0, kShortId) +
                          " has this name; choose another or `vch rm` that one");
  }
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    ASSIGN_OR_RETURN(std::string name, make_container_name());
    // Some thousand names are enough until somebody has some hundred containers.
    if (attempt > 2) name += "_" + std::to_string(attempt);
    if (holder(name) == containers.end()) return name;
  }
  return make_error(EEXIST, "create container", "", "no free name found; give one with --name");
}

}  // namespace

Result<Container> ContainerStore::create(ContainerSpec spec, protocol::pb::ContainerVm config,
                                         const std::string& image_disk, uint64_t writable_size) {
  if (!spec.name.empty()) RETURN_IF_ERROR(check_name("container", spec.name));
  if (spec.id.empty()) {
    ASSIGN_OR_RETURN(const std::string chance, random_bytes(kIdDigits / 2));
    spec.id = common::to_hex(std::as_bytes(std::span(chance)));
  }
  if (!is_id(spec.id)) return make_error(EINVAL, "container id", "'" + spec.id + "'");
  if (spec.created_ns == 0) spec.created_ns = now_ns();
  ASSIGN_OR_RETURN(*config.mutable_secrets()->mutable_link_key(), random_bytes(kKeySize));
  ASSIGN_OR_RETURN(const std::string secret, random_bytes(sizeof(uint32_t)));
  uint32_t check_secret = 0;
  std::memcpy(&check_secret, secret.data(), sizeof check_secret);
  config.mutable_journal()->set_check_secret(check_secret);
  config.set_id(spec.id);
  std::string upgrade_key;
  if (config.upgrade_key().empty()) {
    ASSIGN_OR_RETURN(UpgradeKey pair, make_upgrade_key());
    config.set_upgrade_key(pair.public_der);
    upgrade_key = std::move(pair.private_pem);
  }

  Container making;
  making.directory = directory_ + "/" + std::string(kUnfinished) + "XXXXXX";
  if (::mkdtemp(making.directory.data()) == nullptr) {
    return errno_error("create container directory", directory_);
  }
  common::ScopeGuard remove([&making] {
    std::error_code ignored;
    fs::remove_all(making.directory, ignored);
  });
  ASSIGN_OR_RETURN(const auto alive, take_lock(making.file("machine.lock")));
  const std::string image = making.file(image_file(spec).c_str());
  RETURN_IF_ERROR(spec.root_layer == "direct" ? copy_disk(image_disk, image)
                                              : link_or_copy(image_disk, image));
  if (spec.root_layer == "disk") {
    RETURN_IF_ERROR(make_ext4_disk(making.file("writable.ext4"), writable_size));
  }
  if (!upgrade_key.empty()) {
    RETURN_IF_ERROR(write_file(making.file(kUpgradeKeyFile), upgrade_key, 0600));
  }
  making.spec = std::move(spec);
  number_volumes(making.spec.volumes);
  RETURN_IF_ERROR(publish(making, std::move(config)));
  remove.dismiss();
  return making;
}

// From here on one creator at a time, for the names' sake.
Status ContainerStore::publish(Container& making, protocol::pb::ContainerVm config) {
  ASSIGN_OR_RETURN(const auto names, lock_names());
  remove_abandoned(directory_);
  ASSIGN_OR_RETURN(const auto others, list());
  ASSIGN_OR_RETURN(making.spec.name, choose_name(making.spec.name, others));
  config.set_name(making.spec.name);
  const std::string message = config.SerializeAsString();
  if (message.size() > protocol::kMaxConfigSize) {
    return make_error(E2BIG, "create container", making.spec.name,
                      "command, environment and health check take " +
                          std::to_string(message.size()) + " bytes, at most 1048576");
  }
  RETURN_IF_ERROR(write_file(making.file("config.pb"), message, 0600));
  RETURN_IF_ERROR(write_file(making.file("container.json"), to_json(making.spec), 0600));
  const std::string finished = directory_ + "/" + making.spec.id;
  if (::rename(making.directory.c_str(), finished.c_str()) != 0) {
    return errno_error("create container directory", finished);
  }
  making.directory = finished;
  return {};
}

Result<common::UniqueFd> ContainerStore::lock_names() const {
  return wait_for_lock(directory_ + "/.lock");
}

Status ContainerStore::check_name_is_free(const std::string& name) const {
  ASSIGN_OR_RETURN(const auto containers, list());
  const auto chosen = choose_name(name, containers);
  return chosen.has_error() ? Status(chosen.error()) : Status();
}

}  // namespace vch
