// Runs a program of the system to its end.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"

namespace iso_builder {

// Blocks until the program, found through PATH, has ended with 0. It gets no stdin, LC_ALL=C,
// TZ=UTC and the "NAME=value" entries of `environment`; an error holds the last line that it
// printed. ENOENT names `package`, Debian's package of it.
common::Status run_program(const std::vector<std::string>& arguments,
                           const std::vector<std::string>& environment, const std::string& package);

}  // namespace iso_builder
