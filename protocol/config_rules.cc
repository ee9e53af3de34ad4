#include "protocol/config_rules.h"

#include <algorithm>

namespace protocol {

void Problems::refuse(std::string field, std::string why) {
  if (found_.size() == kMost) return;
  found_.push_back(common::make_error(EINVAL, "config field", std::move(field), std::move(why)));
}

common::Status Problems::first() const {
  if (found_.empty()) return {};
  return found_.front();
}

std::string quoted(std::string_view value) {
  std::string text = "'";
  text += common::escape(value.substr(0, 80));
  text += '\'';
  return text;
}

std::string element(std::string_view list, int index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool good_path(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > 4000 || has_nul(path)) return false;
  for (size_t i = 0; i < path.size();) {
    const size_t end = std::min(path.find('/', i + 1), path.size());
    const std::string_view part = path.substr(i + 1, end - i - 1);
    if (part == ".." || part == ".") return false;
    i = end;
  }
  return true;
}

}  // namespace protocol
