// vch volume attach and detach: volumes of a container that exists, whether it runs or not.
#pragma once

#include "vch/cli/context.h"

namespace vch {

void add_plug_commands(CLI::App& volume, Context& context);

}  // namespace vch
