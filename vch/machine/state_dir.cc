#include "vch/machine/state_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr mode_t kMode = 0700;

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::string> choose(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (std::string own = variable("VCH_STATE"); !own.empty()) return own;
  if (::geteuid() == 0) return std::string("/var/lib/vch");
  // The XDG specification has relative paths ignored.
  if (const std::string data = variable("XDG_DATA_HOME"); data.starts_with('/')) {
    return data + "/vch";
  }
  const std::string home = variable("HOME");
  if (!home.starts_with('/')) {
    return make_error(ENOENT, "find the state directory", "",
                      "HOME is not set; choose one with --state or VCH_STATE");
  }
  return home + "/.local/share/vch";
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kMode) == 0) return {};
  const int saved = errno;
  struct stat found {};
  // What cannot be made may be there already, even where making is not allowed.
  if (::stat(path.c_str(), &found) != 0) {
    return make_error(saved, "create the state directory", path,
                      "choose another with --state or VCH_STATE");
  }
  if (!S_ISDIR(found.st_mode)) {
    return make_error(ENOTDIR, "use the state directory", path,
                      "choose another with --state or VCH_STATE");
  }
  return {};
}

}  // namespace

Result<StateDir> open_state_dir(const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::string chosen, choose(wanted));
  std::error_code error;
  // Shims and machines work in other directories, so a relative path must not stay one.
  const std::filesystem::path root = std::filesystem::absolute(chosen, error).lexically_normal();
  if (error) return make_error(error.value(), "find the state directory", chosen);
  StateDir state{root.string()};
  while (state.root.size() > 1 && state.root.ends_with('/')) state.root.pop_back();
  // Without rights to create parents the last mkdir fails too, and says so for the whole path.
  std::filesystem::create_directories(std::filesystem::path(state.root).parent_path(), error);
  for (const std::string& path :
       {state.root, state.images(), state.volumes(), state.containers(), state.host()}) {
    RETURN_IF_ERROR(make_directory(path));
  }
  return state;
}

}  // namespace vch
