// The flags about limits, of `vch run`, `create` and `update`.
#pragma once

#include "vch/cli/context.h"
#include "vch/machine/limits.h"

namespace vch {

void add_limit_flags(CLI::App& command, LimitOptions& options);

}  // namespace vch
