// The frames under way in one direction: numbered, kept in the form they have on the wire until
// they are acknowledged, sent again when they seem lost. docs/protocol.md, "Sequences".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "serial-transport/frame.h"
#include "serial-transport/state_bytes.h"
#include "serial-transport/types.h"

namespace serial_transport::detail {

class Flight {
 public:
  static constexpr uint32_t kFrames = 64;
  // Frames lie one behind the other in a ring of this size. As long as no more than kMostBytes are
  // under way there is room for another, wherever the ring's end falls.
  static constexpr size_t kRing = 384 * 1024;
  static constexpr size_t kMostBytes = kRing - 2 * kMaxFrame;

  explicit Flight(Time least_retransmission_time);

  uint32_t oldest() const { return oldest_; }  // the first without an acknowledgement
  uint32_t next() const { return next_; }      // the next number to be given
  uint32_t frames() const { return next_ - oldest_; }
  size_t bytes() const { return bytes_; }                // of those frames
  size_t unsent_bytes() const { return unsent_bytes_; }  // of those never given to the link

  // Numbers a frame and gives the place for its payload, to be filled at once. There must be fewer
  // than kFrames frames and kMostBytes bytes.
  std::span<std::byte> add(FrameType type, ConnectionId connection, size_t payload);
  // What the link is to be given next, at most `most` bytes unless one frame is larger; empty when
  // there is nothing. `acks` has the flags and acknowledgements that every frame carries. The bytes
  // stay where they are until their frames are acknowledged.
  std::span<const std::byte> emit(const FrameHeader& acks, uint32_t secret, Time now, size_t most);

  // What acknowledgements and time have shown.
  struct Findings {
    unsigned clean = 0;  // frames that arrived at the first attempt
    unsigned lost = 0;   // frames to be sent again
  };
  Findings on_acks(uint32_t ack, uint64_t bitmap, Time now);
  Findings on_tick(Time now);
  std::optional<Time> next_deadline() const;
  // How many bytes may be under way, so that what comes up later does not wait long behind them:
  // follows the round trips, whatever the line may hold.
  size_t window() const { return window_; }
  // What it takes until a frame is known to have arrived; 0: none is yet.
  Time round_trip() const { return smoothed_.value_or(Time{}); }
  // How soon at the earliest a frame counts as lost because nothing was heard; on a line whose
  // speed is known (else 0) the time that everything under way takes is added. `lossless`: no frame
  // ever counts as lost; what a link has swallowed that ended, resume() sends again.
  void set_line(Time least_retransmission_time, uint32_t bytes_per_second, bool lossless = false);

  // Could the peer expect this frame next?
  bool possible(uint32_t expected) const { return expected - oldest_ <= unsent_ - oldest_; }
  // The peer has everything before `expected`; what was sent after it is sent again.
  void resume(uint32_t expected);
  void clear();
  // For another process: the frames and their numbers, which resume() sends again. load(): into one
  // that is new; false: it makes no sense.
  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  struct Slot {
    FrameType type{};
    ConnectionId connection = 0;
    uint16_t payload = 0;
    uint32_t offset = 0;
    bool acked = true, resend = false, retransmitted = false;
    uint64_t sent_as = 0;  // which of all transmissions
    Time sent_at{};
    size_t size() const { return frame_size(payload); }
  };
  Slot& slot(uint32_t sequence) { return slots_[sequence % kFrames]; }
  const Slot& slot(uint32_t sequence) const { return slots_[sequence % kFrames]; }
  void seal(uint32_t sequence, const FrameHeader& acks, uint32_t secret, Time now);
  std::span<const std::byte> emit_again(const FrameHeader& acks, uint32_t secret, Time now);
  void acknowledge(Slot& slot, Time now, Findings& findings);
  Time overtaken_patience() const;
  std::optional<Time> counts_as_lost(const Slot& waiting, bool& first) const;
  void measure(Time sample);
  void adapt(size_t size, Time round_trip, Time now);
  void mark_lost(Slot& slot, Findings& findings);
  void release();
  Time retransmission_time() const;

  Time least_;
  uint32_t rate_ = 0;
  bool lossless_ = false;
  std::unique_ptr<std::byte[]> ring_;
  size_t write_ = 0;
  std::array<Slot, kFrames> slots_;
  uint32_t oldest_ = 1, unsent_ = 1, next_ = 1;
  size_t bytes_ = 0, unsent_bytes_ = 0;
  unsigned resends_ = 0;  // slots with `resend`
  uint64_t transmissions_ = 0;
  uint64_t newest_ = 0;  // of the transmissions known to have arrived
  std::optional<Time> smoothed_;
  Time shortest_{};  // round trip
  Time variation_{};
  unsigned back_off_ = 0;
  size_t window_;
  Time shrunk_at_{};
};

}  // namespace serial_transport::detail
