#include "vch/image/store_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include <filesystem>
#include <vector>

#include "common/io.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using common::UniqueFd;
namespace fs = std::filesystem;

Result<UniqueFd> lock_file(const std::string& path, int operation) {
  ASSIGN_OR_RETURN(UniqueFd fd, common::open_file(path, O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), operation) != 0) {
    if (errno != EINTR) return common::errno_error("lock", path);
  }
  return fd;
}

std::vector<fs::path> entries_of(const std::string& directory) {
  std::vector<fs::path> entries;
  std::error_code ignored;
  for (auto it = fs::directory_iterator(directory, ignored);
       !ignored && it != fs::directory_iterator(); it.increment(ignored)) {
    entries.push_back(it->path());
  }
  return entries;
}

void remove_tree(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// The caller holds the store's lock, so no process is between making its directory and locking it,
// and none is writing an index file.
void remove_leftovers(const std::string& store) {
  for (const fs::path& directory : entries_of(store + "/tmp")) {
    const auto lock = lock_file((directory / "lock").string(), LOCK_EX | LOCK_NB);
    const bool abandoned = !lock.has_error();
    if (abandoned) remove_tree(directory);
  }
  for (const std::string& directory : {store, store + "/images"}) {
    for (const fs::path& file : entries_of(directory)) {
      const bool unfinished = file.stem().extension() == ".json";  // "names.json.a1B2c3"
      if (unfinished) remove_tree(file);
    }
  }
}

bool has_leftovers(const std::string& store) {
  for (const std::string& directory : {store, store + "/images"}) {
    for (const fs::path& file : entries_of(directory)) {
      if (file.stem().extension() == ".json") return true;
    }
  }
  return !entries_of(store + "/tmp").empty();
}

}  // namespace

Result<UniqueFd> lock_store_shared(const std::string& store) {
  return lock_file(store + "/lock", LOCK_SH);
}

Result<UniqueFd> lock_store(const std::string& store) {
  return lock_file(store + "/lock", LOCK_EX);
}

Result<UniqueFd> lock_builds(const std::string& store, const Progress& progress) {
  const std::string path = store + "/build.lock";
  auto lock = lock_file(path, LOCK_EX | LOCK_NB);
  if (!lock.has_error() || lock.error().code.value() != EWOULDBLOCK) return lock;
  if (progress) progress("waiting for another import", 0, 0);
  return lock_file(path, LOCK_EX);
}

Result<ScratchDir> ScratchDir::create(const std::string& store) {
  // Keeps remove_leftovers away until the directory is locked.
  ASSIGN_OR_RETURN(const UniqueFd guard, lock_store_shared(store));
  std::string path = store + "/tmp/XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return common::errno_error("create", path);
  auto lock = lock_file(path + "/lock", LOCK_EX | LOCK_NB);
  if (lock.has_error()) {
    remove_tree(path);
    return lock.error();
  }
  return ScratchDir(std::move(path), std::move(*lock));
}

ScratchDir::~ScratchDir() {
  if (lock_) remove_tree(path_);
}

Status prepare_store(const std::string& store) {
  for (const std::string& directory :
       {store, store + "/images", store + "/disks", store + "/tmp"}) {
    std::error_code code;
    fs::create_directories(directory, code);
    if (code) return common::make_error(code.value(), "create", directory);
  }
  if (!has_leftovers(store)) return {};
  ASSIGN_OR_RETURN(const UniqueFd lock, lock_store(store));
  remove_leftovers(store);
  return {};
}

}  // namespace vch
