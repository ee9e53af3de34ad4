#include "tether/session/path_lookup.h"

#include <algorithm>
#include <cerrno>

namespace tether {

int may_execute(const struct stat& about, const User& user) {
  if (!S_ISREG(about.st_mode)) return EACCES;
  mode_t bit = S_IXOTH;
  if (user.uid == 0) {
    bit = S_IXUSR | S_IXGRP | S_IXOTH;
  } else if (user.uid == about.st_uid) {
    bit = S_IXUSR;
  } else if (user.gid == about.st_gid ||
             std::find(user.groups.begin(), user.groups.end(), about.st_gid) != user.groups.end()) {
    bit = S_IXGRP;
  }
  return (about.st_mode & bit) != 0 ? 0 : EACCES;
}

common::Result<std::string> find_program(const std::string& word, std::string_view path_list,
                                         const ProgramCheck& check) {
  if (word.find('/') != std::string::npos) {
    const int failed = check(word);
    if (failed == 0) return word;
    return common::make_error(failed, "find program", word,
                              failed == EACCES ? "not an executable file" : "");
  }
  bool forbidden = false;
  while (!path_list.empty()) {
    const size_t end = std::min(path_list.find(':'), path_list.size());
    std::string path(path_list.substr(0, end));
    path_list.remove_prefix(std::min(end + 1, path_list.size()));
    path += path.empty() ? "./" : "/";
    path += word;
    const int failed = check(path);
    if (failed == 0) return path;
    forbidden = forbidden || failed == EACCES;
  }
  if (forbidden) {
    return common::make_error(EACCES, "find program", word, "found in PATH, but not executable");
  }
  return common::make_error(ENOENT, "find program", word, "not in PATH");
}

}  // namespace tether
