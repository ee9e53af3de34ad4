// The clock, and what acknowledgements teach.
#include <algorithm>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {

constexpr Time kIdle = std::chrono::seconds(2);
constexpr unsigned kSilentHeartbeats = 2;
constexpr size_t kGrowth = 8;  // bytes that each frame which arrived at once adds to the limit

}  // namespace

// Where bytes corrupt, the best size of a frame follows from how many are lost.
void Core::note(const detail::Flight::Findings& findings) {
  if (!check_) return;
  for (unsigned i = 0; i < findings.lost; ++i) {
    frame_limit_ = std::max(frame_limit_ * 3 / 4, kLeastPayload);
  }
  frame_limit_ = std::min(frame_limit_ + kGrowth * findings.clean, kMaxCheckedPayload);
}

// Who is slow to answer is no sign of anything by that.
Time Core::idle() const { return std::max(kIdle, 2 * std::max(flight_.round_trip(), hello_took_)); }

std::optional<Time> Core::next_deadline() const {
  if (!link_) return std::nullopt;
  std::optional<Time> next = hello_deadline_;
  const auto consider = [&next](Time when) { next = next ? std::min(*next, when) : when; };
  if (peek_due_ && partial_since_) consider(*partial_since_ + patience());
  if (!up_) return next;
  if (const auto late = flight_.next_deadline()) consider(*late);
  if (ack_by_) consider(*ack_by_);
  if (!line_.nested) consider(heard_or_asked_ + idle());
  return next;
}

void Core::on_tick(Time now) {
  if (!link_) return;
  if (peek_due_ && partial_since_ && now >= *partial_since_ + patience()) peek(now);
  if (hello_deadline_ && now >= *hello_deadline_) on_hello_deadline(now);
  if (!up_) return;
  note(flight_.on_tick(now));
  if (ack_by_ && now >= *ack_by_) {
    ack_by_.reset();
    ack_due_ = true;
  }
  // Whether the other end is there is for the connection around it to know.
  if (line_.nested || now < heard_or_asked_ + idle()) return;
  heard_or_asked_ = now;
  heartbeat_due_ = true;
  // Silence: perhaps our last HELLO was lost and we talk past each other. A new one disturbs
  // nothing.
  if (++unanswered_ >= kSilentHeartbeats && !attempting_) begin_hello(now);
}

}  // namespace serial_transport
