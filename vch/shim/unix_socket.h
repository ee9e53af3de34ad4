// UNIX stream sockets named within a directory, however long the directory's path is.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

common::Result<common::UniqueFd> open_directory(const std::string& path);

// A path of at most 107 bytes, the most that a socket's may have; good while `directory` is open.
std::string path_in(const common::UniqueFd& directory, const std::string& name);

// `name` is a file in `directory`. Non-blocking, close-on-exec, none waits: EAGAIN when the
// listener's queue is full.
common::Result<common::UniqueFd> connect_in(const common::UniqueFd& directory,
                                            const std::string& name);
// Takes the place of a stale socket of this name: hold the lock that makes it yours.
common::Result<common::UniqueFd> listen_in(const common::UniqueFd& directory,
                                           const std::string& name);

}  // namespace vch
