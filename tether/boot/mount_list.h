// Reading the kernel's list of mounts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tether {

// The mount points in the text of /proc/self/mounts that begin with `prefix`, last mounted first:
// the order in which they can be unmounted.
std::vector<std::string> mounts_below(std::string_view list, std::string_view prefix);

}  // namespace tether
