#include "vch/machine/container_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "common/io.h"
#include "vch/machine/container_directory.h"
#include "vch/machine/container_spec.h"
#include "vch/machine/lock.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr size_t kMaxSpecSize = 8U << 20U;
constexpr size_t kMostNamed = 5;  // in an error

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
