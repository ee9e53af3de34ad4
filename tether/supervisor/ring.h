// A bounded window onto an endless stream: the newest bytes of one output stream, in a memfd that
// the link process reads by itself. Offsets count from the stream's first byte and never wrap.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/result.h"
#include "tether/supervisor/ring_memory.h"

namespace tether {

// The memory that all rings together may take. Each ring may always have kLeast of it, so that a
// full neighbour cannot stop it.
struct RingBudget {
  static constexpr uint64_t kLeast = 8192;
  uint64_t limit = ~uint64_t{0};
  uint64_t used = 0;
  bool tight() const { return used > limit / 2; }
};

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { close(); }

  // `budget` and `pool` live longer than the ring. Null: none, and memory of its own.
  common::Status open(RingBudget* budget = nullptr, RingPool* pool = nullptr);
  void close();
  bool is_open() const { return bool{memory_}; }

  // A read-only file description of the memory, to hand to the link process.
  int reader() const { return memory_.reader(); }

  // kFull: there is no room, of its own or in the budget.
  enum class Fill { kBytes, kWouldBlock, kEnd, kFull };
  // Reads once from `fd` into the free space. kEnd also for a TTY's EIO.
  Fill fill_from(int fd);
  // Everything below `offset` was delivered: forget it. Offsets outside [tail, head] are refused.
  // The pages stay for what comes next, unless memory is short. Readers learn of it from the tail,
  // before the bytes are overwritten.
  bool free_below(uint64_t offset);
  // Gives back the pages of what was freed if nothing has come since the last call. True: ask again
  // some time later.
  bool trim_if_quiet();

  // At most `size` bytes from `offset` on, in two parts where they wrap; empty outside [tail,
  // head).
  std::array<std::string_view, 2> bytes(uint64_t offset, size_t size) const;

  uint64_t head() const { return head_; }
  uint64_t tail() const { return tail_; }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  uint64_t space() const;
  void move_tail(uint64_t offset);
  uint64_t first_unpunched() const;
  void give_back(uint64_t step);
  void punch(uint64_t last);
  void account();

  RingMemory memory_;
  RingPool* pool_ = nullptr;
  RingBudget* budget_ = nullptr;
  uint64_t charged_ = 0;  // of the budget
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint64_t punched_ = 0;
  uint64_t head_then_ = 0;  // at the last trim_if_quiet()
};

}  // namespace tether
