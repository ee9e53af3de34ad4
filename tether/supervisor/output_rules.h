// What becomes of an output stream whose ring is full: decisions without clock or descriptor.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tether {

struct OutputFacts {
  uint64_t tail = 0;       // the oldest byte held
  uint64_t head = 0;       // bytes the stream ever had
  bool journal = false;    // it goes to a journal whose host takes what it gets
  uint64_t journaled = 0;  // the journal has everything below
  bool attached = false;   // there are clients
  uint64_t acked = 0;      // every one of them has had everything below
  bool abandoned = false;  // there are none, and there were none for as long as one is waited for
  bool drop = false;       // the policy: the process is never to wait
};

struct OutputVerdict {
  enum class What : uint8_t {
    kWait,  // for the journal, a client, or the time when it counts as abandoned
    kFree,  // everything below `offset` is safe elsewhere
    kDrop,  // everything below `offset` is given up
  };
  What what = What::kWait;
  uint64_t offset = 0;
};

// So much goes at once: the room of a few large reads.
inline constexpr uint64_t kRoomStep = 256 * 1024;

// What clients have acknowledged and the journal has was freed before this is asked.
inline OutputVerdict make_room_for(const OutputFacts& facts) {
  using What = OutputVerdict::What;
  const uint64_t step = std::min(facts.head, facts.tail + kRoomStep);
  if (facts.journal && facts.journaled > facts.tail) {
    return {What::kFree, std::min(facts.journaled, step)};
  }
  // Kept for the journal until now, which takes nothing any more.
  if (!facts.journal && facts.acked > facts.tail) return {What::kFree, std::min(facts.acked, step)};
  const bool nobody = !facts.journal && !facts.attached && facts.abandoned;
  if (facts.drop || nobody) return {What::kDrop, step};
  return {};
}

}  // namespace tether
