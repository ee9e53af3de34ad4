// What containers and volumes may be called, and names for those that nobody named.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

// Docker's rule, [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 characters. `what` is "container" or
// "volume", for the error.
common::Status check_name(std::string_view what, const std::string& name);

// Two words with an underscore, by chance: 64 x 64 of them.
common::Result<std::string> make_container_name();

}  // namespace vch
