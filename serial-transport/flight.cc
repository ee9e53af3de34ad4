#include "serial-transport/flight.h"

#include <algorithm>
#include <utility>

namespace serial_transport::detail {
namespace {

constexpr unsigned kLongestBackOff = 5;  // doublings
constexpr size_t kFirstWindow = 4096;
// Frames of a few hundred bytes, so that one is on its way while another's acknowledgement is.
constexpr size_t kLeastWindow = 1024;
// What a frame waits for beside the line's own time before there is too much under way.
constexpr Time kMostWaiting = std::chrono::milliseconds(300);
constexpr uint64_t kOvertaken = 3;  // a transmission so much later has arrived: this one is lost

}  // namespace

Flight::Flight(Time least_retransmission_time)
    : least_(least_retransmission_time), ring_(new std::byte[kRing]), window_(kFirstWindow) {}

void Flight::set_line(Time least_retransmission_time, uint32_t bytes_per_second, bool lossless) {
  least_ = least_retransmission_time;
  rate_ = bytes_per_second;
  lossless_ = lossless;
}

std::span<std::byte> Flight::add(FrameType type, ConnectionId connection, size_t payload) {
  const size_t size = frame_size(payload);
  if (frames() == 0) {
    write_ = 0;
  } else if (write_ >= slot(oldest_).offset && kRing - write_ < size) {
    write_ = 0;
  }
  Slot& s = slot(next_++);
  s = {};
  s.type = type;
  s.connection = connection;
  s.payload = static_cast<uint16_t>(payload);
  s.offset = static_cast<uint32_t>(write_);
  s.acked = false;
  write_ += size;
  bytes_ += size;
  unsent_bytes_ += size;
  return {ring_.get() + s.offset + kHeaderSize, payload};
}

void Flight::seal(uint32_t sequence, const FrameHeader& acks, uint32_t secret, Time now) {
  Slot& s = slot(sequence);
  FrameHeader header = acks;
  header.type = s.type;
  header.connection = s.connection;
  header.sequence = sequence;
  seal_frame(header, s.payload, secret, ring_.get() + s.offset);
  s.sent_at = now;
  s.sent_as = ++transmissions_;
}

std::span<const std::byte> Flight::emit(const FrameHeader& acks, uint32_t secret, Time now,
                                        size_t most) {
  if (resends_ > 0) return emit_again(acks, secret, now);
  if (unsent_ == next_) return {};
  const size_t begin = slot(unsent_).offset;
  size_t end = begin;
  // One run of the ring.
  while (unsent_ != next_ && slot(unsent_).offset == end) {
    const size_t size = slot(unsent_).size();
    if (end > begin && end - begin + size > most) break;
    seal(unsent_, acks, secret, now);
    ++unsent_;
    unsent_bytes_ -= size;
    end += size;
  }
  return {ring_.get() + begin, end - begin};
}

std::span<const std::byte> Flight::emit_again(const FrameHeader& acks, uint32_t secret, Time now) {
  uint32_t sequence = oldest_;
  while (!slot(sequence).resend) ++sequence;
  Slot& s = slot(sequence);
  s.resend = false;
  s.retransmitted = true;
  --resends_;
  seal(sequence, acks, secret, now);
  return {ring_.get() + s.offset, s.size()};
}

Flight::Findings Flight::on_acks(uint32_t ack, uint64_t bitmap, Time now) {
  Findings findings;
  if (ack - oldest_ > unsent_ - oldest_) return findings;  // old, or never sent
  for (uint32_t s = oldest_; s != ack; ++s) acknowledge(slot(s), now, findings);
  for (uint32_t s = ack + 1; bitmap != 0 && s - oldest_ < unsent_ - oldest_; ++s, bitmap >>= 1U) {
    if ((bitmap & 1U) != 0) acknowledge(slot(s), now, findings);
  }
  release();
  for (uint32_t s = oldest_; s != unsent_; ++s) {
    Slot& late = slot(s);
    if (late.acked || late.resend) continue;
    if (late.sent_as + kOvertaken <= newest_) mark_lost(late, findings);
  }
  return findings;
}

void Flight::acknowledge(Slot& slot, Time now, Findings& findings) {
  if (slot.acked) return;
  slot.acked = true;
  if (std::exchange(slot.resend, false)) --resends_;
  const Time round_trip = now - slot.sent_at;
  if (slot.retransmitted) {
    // Nobody knows which copy arrived: no measurement. If there was time for the last one to
    // arrive, it was that one.
    if (round_trip >= shortest_) newest_ = std::max(newest_, slot.sent_as);
    return;
  }
  newest_ = std::max(newest_, slot.sent_as);
  back_off_ = 0;
  ++findings.clean;
  measure(round_trip);
  adapt(slot.size(), round_trip, now);
}

// Once for each round trip: what was under way before says the same again.
void Flight::adapt(size_t size, Time round_trip, Time now) {
  if (round_trip > shortest_ + kMostWaiting) {
    if (now < shrunk_at_ + *smoothed_) return;
    shrunk_at_ = now;
    window_ = std::max(window_ * 7 / 10, kLeastWindow);
  } else if (bytes_ >= window_ / 2) {
    window_ = std::min(window_ + size, kMostBytes);
  }
}

void Flight::measure(Time sample) {
  if (!smoothed_) {
    smoothed_ = shortest_ = sample;
    variation_ = sample / 2;
    return;
  }
  shortest_ = std::min(shortest_, sample);
  const Time error = sample > *smoothed_ ? sample - *smoothed_ : *smoothed_ - sample;
  variation_ = (variation_ * 3 + error) / 4;
  smoothed_ = (*smoothed_ * 7 + sample) / 8;
}

void Flight::mark_lost(Slot& slot, Findings& findings) {
  slot.resend = true;
  ++resends_;
  ++findings.lost;
}

void Flight::release() {
  while (oldest_ != next_ && slot(oldest_).acked) {
    bytes_ -= slot(oldest_).size();
    ++oldest_;
  }
}

Time Flight::retransmission_time() const {
  Time base = std::max(smoothed_ ? *smoothed_ + variation_ * 4 : least_, least_);
  if (rate_ > 0) base += Time(std::chrono::seconds(1)) * static_cast<int64_t>(bytes_) / rate_;
  return base * (1U << std::min(back_off_, kLongestBackOff));
}

// Something later has arrived, though little later: lost, unless it only takes its time.
Time Flight::overtaken_patience() const { return smoothed_.value_or(least_) * 5 / 4; }

// When, if nothing more is heard; nothing: that is known already, or is to be told from what
// becomes of the first. Where nothing comes back the first alone is sent again: all of them would
// keep a line busy for ever that is only slow, and slower than anybody knew. `first`: no frame
// without an acknowledgement has been asked about before.
std::optional<Time> Flight::counts_as_lost(const Slot& waiting, bool& first) const {
  const bool overtaken = waiting.sent_as < newest_;
  const bool counts = overtaken || std::exchange(first, false);
  if (waiting.resend || !counts) return std::nullopt;
  return waiting.sent_at + (overtaken ? overtaken_patience() : retransmission_time());
}

std::optional<Time> Flight::next_deadline() const {
  std::optional<Time> next;
  if (lossless_) return next;
  bool first = true;
  for (uint32_t s = oldest_; s != unsent_; ++s) {
    const Slot& waiting = slot(s);
    if (waiting.acked) continue;
    const auto when = counts_as_lost(waiting, first);
    if (when) next = next ? std::min(*next, *when) : *when;
  }
  return next;
}

Flight::Findings Flight::on_tick(Time now) {
  Findings findings;
  if (lossless_) return findings;
  bool in_the_dark = false;
  bool first = true;
  for (uint32_t s = oldest_; s != unsent_; ++s) {
    Slot& waiting = slot(s);
    if (waiting.acked) continue;
    const auto when = counts_as_lost(waiting, first);
    if (!when || now < *when) continue;
    mark_lost(waiting, findings);
    in_the_dark |= waiting.sent_as >= newest_;
  }
  if (in_the_dark) back_off_ = std::min(back_off_ + 1, kLongestBackOff);
  return findings;
}

void Flight::resume(uint32_t expected) {
  for (uint32_t s = oldest_; s != expected; ++s) slot(s).acked = true;
  release();
  resends_ = 0;
  for (uint32_t s = oldest_; s != unsent_; ++s) {
    slot(s).resend = !slot(s).acked;
    if (slot(s).resend) ++resends_;
  }
  back_off_ = 0;
  window_ = std::min(window_, kFirstWindow);
}

void Flight::save(StateWriter& out) const {
  out.put(oldest_);
  out.put(unsent_);
  out.put(next_);
  for (uint32_t sequence = oldest_; sequence != next_; ++sequence) {
    const Slot& s = slot(sequence);
    out.put(s.type);
    out.put(s.connection);
    out.put(static_cast<uint8_t>(s.acked));
    const size_t size = s.acked ? 0 : s.payload;
    out.put_bytes({ring_.get() + s.offset + kHeaderSize, size});
  }
}

bool Flight::load(StateReader& in) {
  oldest_ = unsent_ = next_ = in.get<uint32_t>();
  const auto unsent = in.get<uint32_t>();
  const auto next = in.get<uint32_t>();
  if (!in.ok() || next - oldest_ > kFrames || unsent - oldest_ > next - oldest_) return false;
  while (next_ != next) {
    const auto type = static_cast<FrameType>(in.get<uint8_t>());
    const auto connection = in.get<ConnectionId>();
    const bool acked = in.get_flag();
    const auto payload = in.get_bytes();
    const bool fits = payload.size() <= kMaxPayload && bytes_ < kMostBytes;
    if (!in.ok() || !is_sequenced(type) || !fits) return false;
    const auto place = add(type, connection, payload.size());
    std::copy(payload.begin(), payload.end(), place.begin());
    slot(next_ - 1).acked = acked;
  }
  for (; unsent_ != unsent; ++unsent_) unsent_bytes_ -= slot(unsent_).size();
  return true;
}

void Flight::clear() {
  oldest_ = unsent_ = next_ = 1;
  bytes_ = unsent_bytes_ = write_ = 0;
  resends_ = back_off_ = 0;
  newest_ = 0;
  transmissions_ = 0;
  smoothed_.reset();
  variation_ = {};
  window_ = kFirstWindow;
}

}  // namespace serial_transport::detail
