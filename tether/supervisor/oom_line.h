// The kernel's own word about a process that it killed for want of memory, as /dev/kmsg gives it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tether {

struct OomLine {
  uint32_t pid = 0;       // in the machine
  std::string_view name;  // as the process named itself, escaped by the kernel; at most 64 bytes
};

// Nothing for any other record, and for whatever did not come from the kernel itself. Strict and
// bounded: it looks for one form, allocates nothing and interprets nothing.
std::optional<OomLine> parse_oom_line(std::string_view record);

// The number of kills in a cgroup's memory.events; 0 when it has none.
uint64_t parse_oom_kills(std::string_view events);

}  // namespace tether
