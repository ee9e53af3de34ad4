#include "tether/supervisor/oom_line.h"

#include <charconv>

namespace tether {
namespace {

constexpr size_t kMostName = 64;
constexpr unsigned kKernelPriorities = 8;  // facility 0, which nobody else can write as

template <typename T>
bool take_number(std::string_view& text, T& value) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
  return true;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::optional<OomLine> parse_oom_line(std::string_view record) {
  unsigned priority = 0;
  if (!take_number(record, priority) || priority >= kKernelPriorities) return std::nullopt;
  const size_t semicolon = record.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  record.remove_prefix(semicolon + 1);
  const bool told =
      take(record, "Out of memory: ") || take(record, "Memory cgroup out of memory: ");
  OomLine line;
  if (!told || !take(record, "Killed process ") || !take_number(record, line.pid) ||
      !take(record, " (")) {
    return std::nullopt;
  }
  const size_t end = record.find(") total-vm:");
  if (end == std::string_view::npos || end > kMostName) return std::nullopt;
  line.name = record.substr(0, end);
  return line;
}

uint64_t parse_oom_kills(std::string_view events) {
  while (!events.empty()) {
    uint64_t count = 0;
    if (take(events, "oom_kill ") && take_number(events, count)) return count;
    const size_t newline = events.find('\n');
    if (newline == std::string_view::npos) break;
    events.remove_prefix(newline + 1);
  }
  return 0;
}

}  // namespace tether
