// The programs of the host that this folder runs: QEMU and the file system tools.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

// The program's path, by PATH and then the sbin directories, which an ordinary user's PATH lacks.
// ENOENT names the Debian package that has it.
common::Result<std::string> find_program(const std::string& name);

struct ProgramEnd {
  int code = 0;            // exit code, or 128+signal
  bool timed_out = false;  // it was killed for that
  std::string output;      // stdout and stderr, at most 64 KiB
};

// Runs argv[0], a path, to its end with no stdin. It is killed after `timeout_ms`; children that it
// left behind are not waited for. An error only when it could not be started.
common::Result<ProgramEnd> run_program(const std::vector<std::string>& argv, int timeout_ms);

// The same with a child that `start` forks, its output going to the descriptor that it is given; it
// gives the pid.
common::Result<ProgramEnd> run_child(const std::function<common::Result<int>(int output)>& start,
                                     int timeout_ms);

// The last line that says something: where programs say why they gave up.
std::string last_line(std::string_view text);

}  // namespace vch
