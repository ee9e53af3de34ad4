// How long work on an image tells how far it is.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace vch {

// What is being done, and how far: `total` 0 when unknown. May be empty.
using Progress = std::function<void(std::string_view step, uint64_t done, uint64_t total)>;

}  // namespace vch
