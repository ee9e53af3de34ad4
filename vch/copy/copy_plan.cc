#include "vch/copy/copy_plan.h"

#include <cerrno>

namespace vch {
namespace {

std::string_view without_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

std::string last_name(std::string_view path) {
  path = without_slashes(path);
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string parent(std::string_view path) {
  path = without_slashes(path);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

// Those have no name of their own to be put somewhere under.
bool is_unnamed(const std::string& name) {
  return name.empty() || name == "." || name == ".." || name == "/";
}

}  // namespace

common::Result<CopyPlan> plan_copy(const std::string& source, bool source_is_directory,
                                   const std::string& destination, FileKind destination_kind) {
  const std::string source_name = last_name(source);
  const bool wants_directory = destination.ends_with('/') || destination.ends_with("/.");
  switch (destination_kind) {
    case FileKind::kDirectory:
      if (source_is_directory && is_unnamed(source_name)) return CopyPlan{".", destination};
      return CopyPlan{source_name, destination};
    case FileKind::kOther:
      if (source_is_directory) {
        return common::make_error(ENOTDIR, "copy a directory to", destination, "a file is there");
      }
      if (wants_directory) return common::make_error(ENOTDIR, "copy to", destination);
      break;
    case FileKind::kMissing:
      if (wants_directory && !source_is_directory) {
        return common::make_error(ENOENT, "copy to", destination, "there is no such directory");
      }
      break;
  }
  std::string target(without_slashes(destination));
  if (target.ends_with("/.")) target = without_slashes(target.substr(0, target.size() - 2));
  const std::string name = last_name(target);
  if (is_unnamed(name)) {
    return common::make_error(EINVAL, "copy to", destination, "it names nothing");
  }
  return CopyPlan{name, parent(target)};
}

CopyArgument parse_copy_argument(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text[0] == '.' || text[0] == '/') {
    return {"", text};
  }
  return {text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace vch
