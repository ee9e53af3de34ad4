// Containers as ssh knows them: NAME.vch.
#pragma once

#include <string>
#include <string_view>

#include "vch/cli/context.h"

namespace vch {

inline constexpr std::string_view kSshDomain = ".vch";

// The container's name of what may be one of ssh's hosts.
std::string container_of(std::string_view host);

}  // namespace vch
