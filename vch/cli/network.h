// What the commands have in common about networks.
#pragma once

#include <vector>

#include "vch/cli/context.h"
#include "vch/network/network_flags.h"

namespace vch {

void add_network_flags(CLI::App& command, NetworkFlags& flags);
// Of its present life, or as asked for.
common::Result<std::vector<PublishedPort>> ports_of(const Container& container);

}  // namespace vch
