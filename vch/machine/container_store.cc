#include "vch/machine/container_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>
#include <tuple>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/container_name.h"
#include "vch/machine/container_spec.h"
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

constexpr size_t kIdDigits = 64;
constexpr size_t kShortId = 12;
constexpr size_t kKeySize = 32;
constexpr size_t kMaxSpecSize = 8U << 20U;
constexpr int kNameAttempts = 100;
constexpr size_t kMostNamed = 5;  // in an error
constexpr std::chrono::hours kAbandoned{1};
constexpr std::string_view kUnfinished = ".new-";
constexpr std::string_view kRemoved = ".gone-";

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

bool is_id(const std::string& text) {
  return text.size() == kIdDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
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

// A description that cannot be read hides nothing: the container is listed, and can be removed.
Container read_container(const std::string& directory, const std::string& id) {
  Container container;
  container.directory = directory;
  const std::string path = container.file("container.json");
  Result<ContainerSpec> spec = ContainerSpec{};
  if (const auto json = common::read_file(path, kMaxSpecSize); json.has_value()) {
    spec = parse_container_spec(*json, path);
  } else {
    spec = json.error();
  }
  if (spec.has_value()) {
    container.spec = std::move(*spec);
  } else {
    container.spec.id = id;
    container.spec.name = id;
    container.spec.image = "(" + spec.error().message() + ")";
  }
  return container;
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

// Where a container that was here lives now; empty: there was none of this name.
std::string new_home(const std::string& directory, const std::string& wanted) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string id = entry.path().filename().string();
    if (!entry.is_symlink(ignored) || !is_id(id)) continue;
    const fs::path now = fs::canonical(entry.path(), ignored);
    if (now.empty()) continue;
    const Container container = read_container(now.string(), id);
    const bool by_id = !wanted.empty() && id.starts_with(wanted);
    if (by_id || container.spec.name == wanted) return now.parent_path().parent_path();
  }
  return "";
}

std::string describe_choice(const std::vector<Container>& containers) {
  std::string text;
  for (size_t i = 0; i < std::min(containers.size(), kMostNamed); ++i) {
    text += (i == 0 ? "" : ", ") + containers[i].spec.name;
  }
  if (containers.size() > kMostNamed) text += ", ...";
  return text;
}

}  // namespace

Result<Whereabouts> whereabouts(const Container& container) {
  std::error_code error;
  const fs::path now = fs::canonical(container.directory, error);
  if (error) return make_error(error.value(), "find container", container.spec.name);
  Whereabouts out{container, StateDir{now.parent_path().parent_path().string()}};
  out.container.directory = now.string();
  return out;
}

Result<protocol::pb::ContainerVm> read_config(const Container& container) {
  ASSIGN_OR_RETURN(const std::string bytes,
                   common::read_file(container.file("config.pb"), protocol::kMaxConfigSize));
  return protocol::parse_config(bytes);
}

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

Result<std::vector<Container>> ContainerStore::list() const {
  std::error_code error;
  std::vector<Container> containers;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string id = it->path().filename().string();
    std::error_code ignored;
    if (is_id(id) && !it->is_symlink(ignored))
      containers.push_back(read_container(it->path().string(), id));
  }
  if (error) return make_error(error.value(), "list containers", directory_);
  std::sort(containers.begin(), containers.end(), [](const Container& a, const Container& b) {
    return std::tie(b.spec.created_ns, b.spec.id) < std::tie(a.spec.created_ns, a.spec.id);
  });
  return containers;
}

Result<Container> ContainerStore::find(const std::string& wanted) const {
  struct stat found {};
  if (is_id(wanted) && ::lstat((directory_ + "/" + wanted).c_str(), &found) == 0 &&
      S_ISDIR(found.st_mode)) {
    return read_container(directory_ + "/" + wanted, wanted);
  }
  ASSIGN_OR_RETURN(const auto containers, list());
  std::vector<Container> matching;
  for (const Container& container : containers) {
    if (container.spec.name == wanted) return container;
    if (!wanted.empty() && container.spec.id.starts_with(wanted)) matching.push_back(container);
  }
  if (matching.size() == 1) return matching[0];
  if (matching.size() > 1) {
    return make_error(
        EINVAL, "find container", "'" + wanted + "'",
        std::to_string(matching.size()) + " ids begin so, those of " + describe_choice(matching));
  }
  if (const std::string home = new_home(directory_, wanted); !home.empty()) {
    return make_error(ENOENT, "find container", "'" + wanted + "'",
                      "it has moved: `vch --state " + home + "` finds it");
  }
  return make_error(
      ENOENT, "find container", "'" + wanted + "'",
      containers.empty() ? "there is no container" : "there are " + describe_choice(containers));
}

Result<common::UniqueFd> ContainerStore::lock_names() const {
  return wait_for_lock(directory_ + "/.lock");
}

Status ContainerStore::check_name_is_free(const std::string& name) const {
  ASSIGN_OR_RETURN(const auto containers, list());
  const auto chosen = choose_name(name, containers);
  return chosen.has_error() ? Status(chosen.error()) : Status();
}

Result<common::UniqueFd> ContainerStore::lock_for_change(const Container& container) {
  return wait_for_lock(container.file("change.lock"));
}

Status ContainerStore::save(const Container& container, const protocol::pb::ContainerVm& config) {
  const std::string message = config.SerializeAsString();
  if (message.size() > protocol::kMaxConfigSize) {
    return make_error(
        E2BIG, "change container", container.spec.name,
        "its configuration takes " + std::to_string(message.size()) + " bytes, at most 1048576");
  }
  RETURN_IF_ERROR(common::write_file_atomically(container.file("config.pb"), message, 0600));
  return common::write_file_atomically(container.file("container.json"), to_json(container.spec),
                                       0600);
}

Status ContainerStore::remove(const Container& container) {
  // Held until the directory is gone: nobody can start it meanwhile.
  const auto lock = take_lock(container.file("machine.lock"));
  if (lock.has_error()) {
    if (lock.error().code == std::errc::operation_would_block) {
      return make_error(EBUSY, "remove container", container.spec.name,
                        "its machine runs; stop it first, or use `vch rm -f`");
    }
    return make_error(lock.error().code.value(), "remove container", container.spec.name);
  }
  const std::string gone = directory_ + "/" + std::string(kRemoved) + container.spec.id;
  if (::rename(container.directory.c_str(), gone.c_str()) != 0) {
    return errno_error("remove container", container.spec.name);
  }
  std::error_code error;
  fs::remove_all(gone, error);
  if (error) return make_error(error.value(), "remove container directory", gone);
  return {};
}

}  // namespace vch
