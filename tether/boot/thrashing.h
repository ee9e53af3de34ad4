// A group at its memory limit whose programs' text finds no room any more: each page of it is read
// again, evicted, and read again. The kernel kills nobody while it gets pages back, so that this
// goes on for minutes; for the machine as a whole it knows better (lru_gen/min_ttl_ms), for a group
// it does not.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tether {

// Counts the notices of pressure that follow each other.
class ThrashWatch {
 public:
  // For memory.pressure: a notice for each second of which nobody could work for half a second.
  static constexpr const char* kTrigger = "full 500000 1000000";
  static constexpr int kInRow = 4;
  static constexpr uint64_t kMostApartMs = 1500;
  // True: it has been so for some seconds.
  bool on_notice(uint64_t now_ms);

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  int count_ = 0;
  uint64_t last_ms_ = 0;
};

// Of memory.stat: bytes that cannot be had back by writing them out or dropping them.
uint64_t held_memory(std::string_view stat);

// The limit below which the kernel kills somebody, and nobody further: nothing where what is held
// is less than seven eighths of `limit`, since then the pressure is of caches.
std::optional<uint64_t> killing_limit(std::string_view stat, uint64_t limit);

// The role "relieve": looks, and where it is so has the kernel kill by lowering the container's
// memory.max for a moment, as if it had come to its limit by itself. Never returns.
[[noreturn]] void relieve_main();

}  // namespace tether
