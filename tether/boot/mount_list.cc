#include "tether/boot/mount_list.h"

#include <algorithm>

namespace tether {
namespace {

bool octal(char c) { return c >= '0' && c <= '7'; }

// Blanks, tabs, newlines and backslashes are written as a backslash and three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> mounts_below(std::string_view list, std::string_view prefix) {
  std::vector<std::string> found;
  while (!list.empty()) {
    const size_t end = std::min(list.find('\n'), list.size());
    const std::string_view line = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const size_t first = line.find(' ');
    if (first == std::string_view::npos) continue;
    const size_t second = line.find(' ', first + 1);
    std::string path = unescape(line.substr(first + 1, second - first - 1));
    if (path.starts_with(prefix)) found.push_back(std::move(path));
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace tether
