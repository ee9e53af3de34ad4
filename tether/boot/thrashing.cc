#include "tether/boot/thrashing.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <string>

#include "common/io.h"
#include "tether/boot/boot_table.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

constexpr unsigned kTimeLimitS = 60;
constexpr size_t kMaxFile = 16384;
constexpr uint64_t kMargin = 256 * 1024;  // counters lag behind by some pages

uint64_t field(std::string_view text, std::string_view name) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') continue;
    uint64_t value = 0;
    std::from_chars(line.data() + name.size() + 1, line.data() + line.size(), value);
    return value;
  }
  return 0;
}

common::Status work() {
  const std::string file = std::string(kContainerCgroup) + "/memory.max";
  ASSIGN_OR_RETURN(const std::string limit, common::read_file(file, kMaxFile));
  ASSIGN_OR_RETURN(const std::string stat,
                   common::read_file(std::string(kContainerCgroup) + "/memory.stat", kMaxFile));
  const auto lower = killing_limit(stat, std::strtoull(limit.c_str(), nullptr, 10));
  if (!lower) return {};
  // The call returns when so much is free; killed or not, the limit is what it was.
  (void)real_system().write_file(file, std::to_string(*lower));
  // Unless somebody has set another meanwhile.
  const auto now = common::read_file(file, kMaxFile);
  if (now.has_value() && std::strtoull(now->c_str(), nullptr, 10) / kMargin == *lower / kMargin) {
    (void)real_system().write_file(file, limit);
  }
  return {};
}

}  // namespace

bool ThrashWatch::on_notice(uint64_t now_ms) {
  if (now_ms > last_ms_ + kMostApartMs) count_ = 0;
  last_ms_ = now_ms;
  if (++count_ < kInRow) return false;
  count_ = 0;
  return true;
}

uint64_t held_memory(std::string_view stat) {
  uint64_t held = 0;
  for (const char* name : {"anon", "shmem", "kernel_stack", "pagetables", "slab_unreclaimable"}) {
    held += field(stat, name);
  }
  return held;
}

std::optional<uint64_t> killing_limit(std::string_view stat, uint64_t limit) {
  const uint64_t held = held_memory(stat);
  if (limit == 0 || held < limit / 8 * 7 || held < 2 * kMargin) return std::nullopt;
  return held - kMargin;
}

void relieve_main() {
  ::alarm(kTimeLimitS);
  try {
    (void)work();
  } catch (const std::exception&) {
  }
  ::_exit(0);
}

}  // namespace tether
