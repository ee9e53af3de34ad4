// A bounded window onto an endless stream: the newest bytes of one output stream, in a memfd that
// the link process reads by itself. Offsets count from the stream's first byte and never wrap.
#pragma once

#include <cstdint>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { close(); }

  // Creates the memory: kRingSize bytes, sparse, sealed against shrinking and growing.
  common::Status open();
  void close();

  // A second, read-only file description of the same memory, to hand to the link process; none when
  // it cannot be had. Allocates nothing.
  common::UniqueFd reopen_read_only() const;

  enum class Fill { kBytes, kWouldBlock, kEnd, kFull };
  // Reads once from `fd` into the free space. kEnd also for a TTY's EIO.
  Fill fill_from(int fd);
  // Everything below `offset` was delivered: forget it and give its pages back. Offsets outside
  // [tail, head] are refused.
  bool free_below(uint64_t offset);

  uint64_t head() const { return head_; }
  uint64_t tail() const { return tail_; }

 private:
  void punch(uint64_t last);

  common::UniqueFd fd_;
  char* memory_ = nullptr;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint64_t punched_ = 0;
};

}  // namespace tether
