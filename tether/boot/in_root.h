// Touching files below a directory whose content is another's: no symbolic link, no ".." in there
// leads out of it.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

// Opens `path` as if `root` were "/" (openat2 with RESOLVE_IN_ROOT).
common::Result<common::UniqueFd> open_in_root(int root, const std::string& path, int flags);

// The directory at `path`, an O_PATH descriptor. What is missing is made, 0755 and the caller's
// own.
common::Result<common::UniqueFd> make_directories_in_root(int root, const std::string& path);

// The content of a regular file; ENOENT when there is none, EINVAL for anything but a regular file.
common::Result<std::string> read_in_root(int root, const std::string& path, size_t limit);

// Puts a new file with mode 0644 in place of whatever had that name, a symbolic link too. Its
// directory is made when missing. `object` of errors is the path.
common::Status replace_in_root(int root, const std::string& directory, const std::string& name,
                               std::string_view content);

}  // namespace tether
