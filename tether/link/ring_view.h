// The link process's view of one output stream's ring, whose writer is the supervisor.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "common/unique_fd.h"

namespace tether {

class RingView {
 public:
  RingView() = default;
  // `fd`: a ring opened for reading.
  explicit RingView(common::UniqueFd fd) : fd_(std::move(fd)) {}
  RingView(RingView&& other) noexcept { *this = std::move(other); }
  RingView& operator=(RingView&& other) noexcept;
  ~RingView() { unmap(); }

  // Appends `size` bytes of the stream, at most a ring full, from `offset` on, and gives in `tail`
  // the oldest byte that was still held when they had been copied: those before it may be wrong.
  // False, and `out` as before: the ring cannot be read.
  bool append(uint64_t offset, size_t size, std::string& out, uint64_t& tail);

 private:
  bool read(uint64_t position, size_t size, std::string& out);
  bool map();
  void unmap();

  common::UniqueFd fd_;
  const char* memory_ = nullptr;  // once there was much to read
};

}  // namespace tether
