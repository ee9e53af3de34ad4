// `--log-opt`, in Docker's words: how much of a container's journal is kept.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

// Each text holds KEY=VALUE, or several with commas between: max-size (bytes, with k, m, g; at
// least 64k) and max-file (1 to 64). EINVAL names the flag and what is wrong.
common::Status set_log_options(const std::vector<std::string>& texts, ContainerSpec& spec);

}  // namespace vch
