// Which file a command's first word means.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "tether/session/users.h"

namespace tether {

// 0 when the user may execute the file with this status, EACCES when not, or when it is no file.
int may_execute(const struct stat& about, const User& user);

// 0 when the file at this path, relative to the session's working directory, is a program that the
// user may execute; else an errno.
using ProgramCheck = std::function<int(const std::string& path)>;

// A word with a slash is a path. Any other is looked for in the directories of `path_list`, an
// empty entry being the working directory; the first one that passes the check wins. EACCES when
// there were only files that did not pass, else ENOENT. Gives the path to execute.
common::Result<std::string> find_program(const std::string& word, std::string_view path_list,
                                         const ProgramCheck& check);

}  // namespace tether
