// `vch top`: the table that `ps -ef` would print in the container.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "protocol/control.pb.h"

namespace vch {

// A heading, and a row for each process. `list` is an agent's word, which may be anything: each
// field is one plain line. `now` is the host's clock, as a start is shown by that.
std::vector<std::vector<std::string>> process_rows(const tether::v1::Processes& list,
                                                   std::time_t now);

}  // namespace vch
