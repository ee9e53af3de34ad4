// Acknowledgements, retransmission and the clock.
#include <algorithm>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {

constexpr Time kIdle = std::chrono::seconds(2);
constexpr unsigned kSilentHeartbeats = 2;
constexpr unsigned kLongestBackOff = 5;  // doublings
constexpr Time kPatience = std::chrono::milliseconds(20);
constexpr size_t kLeastPayload = 64;
constexpr size_t kGrowth = 8;  // bytes that each frame which arrived at once adds to the limit

}  // namespace

void Core::on_acks(const FrameHeader& header, Time now) {
  if (header.ack - oldest_ > next_ - oldest_) return;  // old, or never sent
  uint32_t newest = oldest_ - 1;
  for (uint32_t s = oldest_; s != header.ack; ++s) {
    if (acknowledge(flight_[s % kFlight], now)) newest = s;
  }
  for (uint32_t i = 0; i < kFlight - 1; ++i) {
    const uint32_t sequence = header.ack + 1 + i;
    if (sequence - oldest_ >= next_ - oldest_) break;
    const bool arrived = (header.ack_bitmap >> i & 1U) != 0;
    if (arrived && acknowledge(flight_[sequence % kFlight], now)) newest = sequence;
  }
  // Three frames behind it have arrived, it has not: lost, unless it was just sent again.
  for (uint32_t s = oldest_; newest - s < kFlight && newest - s >= 3; ++s) {
    Slot& slot = flight_[s % kFlight];
    if (slot.acked || slot.resend) continue;
    if (now - slot.sent_at >= smoothed_.value_or(Time{0})) resend_slot(slot);
  }
  while (oldest_ != next_ && flight_[oldest_ % kFlight].acked) ++oldest_;
}

// True when that is news.
bool Core::acknowledge(Slot& slot, Time now) {
  if (slot.acked) return false;
  slot.acked = true;
  slot.resend = false;
  if (slot.retransmitted) return true;  // nobody knows which copy arrived: no measurement
  back_off_ = 0;
  if (options_.payload_check) frame_limit_ = std::min(frame_limit_ + kGrowth, kMaxCheckedPayload);
  const Time sample = now - slot.sent_at;
  if (!smoothed_) {
    smoothed_ = sample;
    variation_ = sample / 2;
    return true;
  }
  const Time error = sample > *smoothed_ ? sample - *smoothed_ : *smoothed_ - sample;
  variation_ = (variation_ * 3 + error) / 4;
  smoothed_ = (*smoothed_ * 7 + sample) / 8;
  return true;
}

void Core::resend_slot(Slot& slot) {
  slot.resend = true;
  if (options_.payload_check) frame_limit_ = std::max(frame_limit_ * 3 / 4, kLeastPayload);
}

Time Core::retransmission_time() const {
  const Time base = smoothed_ ? *smoothed_ + variation_ * 4 : options_.least_retransmission_time;
  return std::max(base, options_.least_retransmission_time) *
         (1U << std::min(back_off_, kLongestBackOff));
}

std::optional<Time> Core::next_deadline() const {
  if (!link_) return std::nullopt;
  std::optional<Time> next = hello_deadline_;
  const auto consider = [&next](Time when) { next = next ? std::min(*next, when) : when; };
  if (peek_due_ && partial_since_) consider(*partial_since_ + kPatience);
  if (!up_) return next;
  for (uint32_t s = oldest_; s != next_; ++s) {
    const Slot& slot = flight_[s % kFlight];
    if (!slot.acked && !slot.resend) consider(slot.sent_at + retransmission_time());
  }
  consider(heard_or_asked_ + kIdle);
  return next;
}

void Core::on_tick(Time now) {
  if (!link_) return;
  if (peek_due_ && partial_since_ && now >= *partial_since_ + kPatience) peek(now);
  if (hello_deadline_ && now >= *hello_deadline_) on_hello_deadline(now);
  if (!up_) return;
  resend_late(now);
  if (now < heard_or_asked_ + kIdle) return;
  heard_or_asked_ = now;
  heartbeat_due_ = true;
  // Silence: perhaps our last HELLO was lost and we talk past each other. A new one disturbs
  // nothing.
  if (++unanswered_ >= kSilentHeartbeats && !attempting_) begin_hello(now);
}

void Core::resend_late(Time now) {
  const Time patience = retransmission_time();
  bool late = false;
  for (uint32_t s = oldest_; s != next_; ++s) {
    Slot& slot = flight_[s % kFlight];
    if (slot.acked || slot.resend || now < slot.sent_at + patience) continue;
    resend_slot(slot);
    late = true;
  }
  if (late) back_off_ = std::min(back_off_ + 1, kLongestBackOff);
}

}  // namespace serial_transport
