// The memory of a ring, as the kernel holds it, and some that waits for the next ring: most streams
// of most sessions never have a byte, and to make and unmake such memory is a dozen system calls.
#pragma once

#include <array>
#include <cstddef>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

// A memfd of kRingFileSize bytes, sparse, sealed against shrinking and growing, and mapped here.
class RingMemory {
 public:
  RingMemory() = default;
  RingMemory(RingMemory&& other) noexcept { *this = std::move(other); }
  RingMemory& operator=(RingMemory&& other) noexcept;
  ~RingMemory() { unmap(); }

  static common::Result<RingMemory> make();

  explicit operator bool() const { return bytes_ != nullptr; }
  char* bytes() const { return bytes_; }
  int file() const { return file_.get(); }
  // A second, read-only description of the same memory: the link process's.
  int reader() const { return reader_.get(); }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  common::Status map();
  void unmap();

  common::UniqueFd file_;
  common::UniqueFd reader_;
  char* bytes_ = nullptr;
};

class RingPool {
 public:
  static constexpr size_t kMost = 16;

  common::Result<RingMemory> take();
  // Only what nothing was ever written to: a reader that comes late finds nothing of another's.
  void give(RingMemory memory);
  size_t size() const { return size_; }

 private:
  std::array<RingMemory, kMost> spare_;
  size_t size_ = 0;
};

}  // namespace tether
