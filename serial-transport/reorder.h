// The receiving side of the sequences: what is expected next, and the frames that came too early.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "serial-transport/frame.h"
#include "serial-transport/state_bytes.h"

namespace serial_transport::detail {

class Reorder {
 public:
  static constexpr uint32_t kFrames = 64;
  // Early frames hold no more than this; one for which there is no room is as good as lost.
  static constexpr size_t kMostBytes = 128 * 1024;

  uint32_t expected() const { return expected_; }
  uint64_t bitmap() const { return bitmap_; }  // bit i: expected + 1 + i has arrived

  // True for the frame that is expected: deliver it, then whatever advance() gives. Others are kept
  // or dropped.
  bool is_next(const FrameHeader& header, std::span<const std::byte> payload);

  struct Parked {
    FrameHeader header;
    std::vector<std::byte> payload;
  };
  // The expected frame has been taken. Gives the one after it if it is there already; it stays
  // valid until is_next() is called.
  const Parked* advance();
  void clear();
  // For another process. load(): into one that is new; false: it makes no sense.
  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  void park(uint32_t ahead, const FrameHeader& header, std::span<const std::byte> payload);
  bool make_room(size_t more);

  uint32_t expected_ = 1;
  uint64_t bitmap_ = 0;
  size_t held_ = 0;  // capacity of all payloads
  std::array<Parked, kFrames> parked_;
};

}  // namespace serial_transport::detail
