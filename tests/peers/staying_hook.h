// Of hooks of the stage `early` that stay: outside of the container, root beside PID 1.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "common/io.h"

namespace staying_hook {

// The caller goes on in a child that outlives the hook; false: there is none. The hook ends by it.
inline bool stay(int& exit_code) {
  std::array<int, 2> left{};
  exit_code = 1;
  if (::pipe(left.data()) != 0) return false;
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child > 0) {
    // The hook's own group ends with it: not before the child has left that.
    ::close(left[1]);
    char nothing = 0;
    exit_code = ::read(left[0], &nothing, 1) == 0 ? 0 : 1;
    return false;
  }
  ::setsid();
  for (const int end : left) ::close(end);
  return true;
}

inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> found;
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) return found;
  while (const dirent* entry = ::readdir(listing)) found.emplace_back(entry->d_name);
  ::closedir(listing);
  return found;
}

// Those of the agent's that have this role now.
inline std::vector<std::string> processes(const std::string& role) {
  std::vector<std::string> found;
  for (const std::string& name : names_in("/proc")) {
    const auto words = common::read_file("/proc/" + name + "/cmdline", 4096);
    if (words.has_value() && *words == std::string("tether\0", 7) + role + '\0')
      found.push_back(name);
  }
  return found;
}

}  // namespace staying_hook
