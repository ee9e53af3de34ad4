#pragma once

#include <string_view>

namespace tether {
// Of the project; a program for tests may have another.
extern const std::string_view kVersion;
}  // namespace tether
