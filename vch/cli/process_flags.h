// What run and create have in common about the container's processes.
#pragma once

#include "vch/cli/context.h"
#include "vch/machine/process_options.h"

namespace vch {

void add_process_flags(CLI::App& command, ProcessOptions& options);

}  // namespace vch
