// How the parts of this folder say what they could not do.
#pragma once

#include <functional>
#include <string_view>

namespace tar {

// Which member or file, and why. Both are others' bytes: escape before showing.
using Report = std::function<void(std::string_view name, std::string_view why)>;

}  // namespace tar
