// Containers as ps and inspect show them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "vch/cli/context.h"
#include "vch/machine/container_state.h"

namespace vch {

// What `vch inspect` prints: docs/inspect.md has every member. Asks the agent if it runs; one that
// does not answer soon leaves its members null.
common::Result<nlohmann::ordered_json> describe_container(const Context& context,
                                                          const Container& container);

// "Up 5 minutes (healthy)" as Docker's STATUS column says it.
std::string status_text(const ContainerState& state);
// RFC 3339 in UTC with nanoseconds; empty for 0.
std::string timestamp(int64_t ns_since_1970);

}  // namespace vch
