// What the directories are called that are in a state directory's containers.
#pragma once

#include <string>
#include <string_view>

namespace vch {

constexpr size_t kIdDigits = 64;
constexpr std::string_view kUnfinished = ".new-";  // of one that is being made
constexpr std::string_view kRemoved = ".gone-";    // of one that is being removed; its id follows

// Also the name of a container's directory.
inline bool is_id(const std::string& text) {
  return text.size() == kIdDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace vch
