// QEMU as a process of its own.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// Executes argv[0], a path, in a session of its own and nobody's child, in `directory`, with stdout
// and stderr to `log`. Of our descriptors it gets `inherited` alone, under the same numbers, and
// none of our signal settings. Returns once it is executed. Our copies stay open.
//
// QEMU's own -daemonize does not go with its sandbox (spawn=deny forbids its fork), sends later
// messages to /dev/null and leaves the directory.
common::Status spawn_qemu(const std::vector<std::string>& argv, const std::string& directory,
                          int log, const std::vector<common::UniqueFd>& inherited);

}  // namespace vch
