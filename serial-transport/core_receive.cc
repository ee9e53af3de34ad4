// The receiving half: bytes to frames to connections.
#include <algorithm>
#include <utility>

#include "serial-transport/copy.h"
#include "serial-transport/core.h"

namespace serial_transport {
namespace {

// A frame that has not arrived whole by then may be the stump of one that never will, with a HELLO
// behind it: look into it. On a slow line the time that a whole frame takes is added.
constexpr Time kPatience = std::chrono::milliseconds(20);
constexpr Time kLongestPatience = std::chrono::milliseconds(500);
// Refusals and resets that wait to be sent. A peer that reads at all never makes so many.
constexpr size_t kMaxFarewells = 4096;
// An acknowledgement by itself waits a moment for a frame that it can go with. On its own it wakes
// hypervisor and peer for 28 bytes, and a UART pays more to receive than to send. Where something
// is missing it goes at once.
// A little more than a connection's CREDIT comes after, which then carries it; well below what may
// be under way.
constexpr unsigned kFramesAnAck = 10;
constexpr Time kAckDelay = std::chrono::milliseconds(10);
// Where nothing is lost and nobody waits for room: a timer that is set for it costs more than it is
// worth.
constexpr Time kLazyAckDelay = std::chrono::milliseconds(40);

}  // namespace

void Core::on_bytes(std::span<const std::byte> bytes, Time now) {
  if (!link_) return;
  if (!incoming_.empty()) bytes = finish_partial(bytes, now);
  if (incoming_.empty()) {
    bytes = parse(bytes, now);
    append_bytes(incoming_, bytes);
  }
  watch_partial(now);
}

// Takes from `bytes` what the unfinished frame lacks, and no more: what follows is parsed where it
// stands. Gives back the rest, all of it used up unless nothing unfinished is left.
std::span<const std::byte> Core::finish_partial(std::span<const std::byte> bytes, Time now) {
  size_t at = 0;
  while (at < incoming_.size()) {
    const Scan scan = scan_frame(std::span(incoming_).subspan(at), in_secret_);
    if (scan.kind == Scan::Kind::kNeedMore) {
      const size_t more = std::min(scan.size - (incoming_.size() - at), bytes.size());
      if (more == 0) break;
      append_bytes(incoming_, bytes.first(more));
      bytes = bytes.subspan(more);
      continue;
    }
    at += scan.size;
    if (scan.kind == Scan::Kind::kFrame) on_frame(scan.header, scan.payload, now);
  }
  if (at > 0) {
    incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<ptrdiff_t>(at));
    partial_since_.reset();
  }
  return bytes;
}

std::span<const std::byte> Core::parse(std::span<const std::byte> bytes, Time now) {
  partial_since_.reset();
  while (!bytes.empty()) {
    const Scan scan = scan_frame(bytes, in_secret_);
    if (scan.kind == Scan::Kind::kNeedMore) break;
    bytes = bytes.subspan(scan.size);
    if (scan.kind == Scan::Kind::kFrame) on_frame(scan.header, scan.payload, now);
  }
  return bytes;
}

Time Core::patience() const {
  if (rate_ == 0) return kPatience;
  const Time whole =
      std::chrono::nanoseconds(std::chrono::seconds(1)) * frame_size(kMaxCheckedPayload) / rate_;
  return std::min(kPatience + whole, kLongestPatience);
}

void Core::watch_partial(Time now) {
  if (incoming_.size() <= kHeaderSize) {
    partial_since_.reset();
    peek_due_ = false;
    return;
  }
  if (!partial_since_) {
    partial_since_ = now;
    peeked_ = 0;
    peek_due_ = true;
  } else if (now >= *partial_since_ + patience()) {
    peek(now);
  }
}

// HELLOs count inside an unfinished frame too: they disturb nothing until they carry a proof, and
// with a proof everything before them is stale.
void Core::peek(Time now) {
  peek_due_ = false;
  size_t at = std::max<size_t>(peeked_, 1);
  while (at < incoming_.size()) {
    const Scan scan = scan_frame(std::span(incoming_).subspan(at), std::nullopt);
    if (scan.kind == Scan::Kind::kNeedMore) break;
    at += scan.size;
    if (scan.kind != Scan::Kind::kFrame) continue;
    const uint64_t before = establishments_;
    on_frame(scan.header, scan.payload, now);
    if (establishments_ == before) continue;
    const std::vector<std::byte> rest(incoming_.begin() + static_cast<ptrdiff_t>(at),
                                      incoming_.end());
    incoming_.clear();
    return on_bytes(rest, now);
  }
  peeked_ = std::min(at, incoming_.size());
}

void Core::on_frame(const FrameHeader& header, std::span<const std::byte> payload, Time now) {
  switch (header.type) {
    case FrameType::kHello1:
      return on_hello1(payload, now);
    case FrameType::kHello2:
      return on_hello2(payload, now);
    case FrameType::kHello3:
      return on_hello3(payload, now);
    default:
      break;
  }
  if (!up_) return;
  heard_or_asked_ = now;
  unanswered_ = 0;
  note(flight_.on_acks(header.ack, header.ack_bitmap, now));
  if (header.type != FrameType::kAck) return on_sequenced(header, payload, now);
  if (header.connection == 1) ack_due_ = true;
}

void Core::on_sequenced(const FrameHeader& header, std::span<const std::byte> payload, Time now) {
  if (!reorder_.is_next(header, payload)) {
    ack_due_ = true;
    return;
  }
  const bool gap = reorder_.bitmap() != 0;
  deliver(header, payload, now);
  while (const auto* parked = reorder_.advance()) deliver(parked->header, parked->payload, now);
  if (gap || ++unacked_ >= kFramesAnAck) {
    ack_due_ = true;
  } else if (!ack_by_) {
    ack_by_ = now + (check_ || paced() ? kAckDelay : kLazyAckDelay);
  }
  if (farewells_.size() > kMaxFarewells) break_session(now);
}

void Core::deliver(const FrameHeader& header, std::span<const std::byte> payload, Time now) {
  if (header.type == FrameType::kOpen) return on_open_frame(header.connection, payload);
  if (Stream* stream = find(header.connection)) on_stream_frame(*stream, header, payload, now);
}

void Core::on_open_frame(ConnectionId id, std::span<const std::byte> payload) {
  const bool theirs = (id & 1U) == (options_.role == Role::kHost ? 0U : 1U) && id != 0;
  if (!theirs || payload.size() < 6 || streams_.contains(id)) return;
  const size_t length = std::to_integer<size_t>(payload[5]);
  const auto traffic = std::to_integer<uint8_t>(payload[4]);
  if (payload.size() != 6 + length || traffic > 2) return;
  if (streams_.size() >= options_.max_connections) {
    farewells_.push_back({id, FrameType::kRefuse, Reason::kTooMany});
    return;
  }
  Stream& stream = add(id);
  stream.state = State::kAccepting;
  stream.traffic = static_cast<TrafficClass>(traffic);
  stream.interactive = stream.traffic == TrafficClass::kInteractive;
  stream.credit = load32(payload.data());
  const std::string_view service(reinterpret_cast<const char*>(payload.data()) + 6, length);
  events_.on_open(id, stream.traffic, service);
}

void Core::on_stream_frame(Stream& stream, const FrameHeader& header,
                           std::span<const std::byte> payload, Time now) {
  const ConnectionId id = stream.id;
  const auto misbehaved = [&] {
    farewells_.push_back({id, FrameType::kReset, Reason::kProtocolError});
    end(stream, Reason::kProtocolError);
  };
  switch (header.type) {
    case FrameType::kAccept:
      if (stream.state != State::kOpening || stream.send_open || payload.size() != 4) {
        return misbehaved();
      }
      stream.state = State::kOpen;
      stream.credit = load32(payload.data());
      std::string().swap(stream.service);
      mark_ready(stream);
      return events_.on_accepted(id);
    case FrameType::kRefuse:
    case FrameType::kReset:
      if (payload.size() != 2) return end(stream, Reason::kProtocolError);
      return end(stream, static_cast<Reason>(load16(payload.data())));
    case FrameType::kCredit:
      if (payload.size() != 8) return misbehaved();
      stream.credit = std::max(stream.credit, load64(payload.data()));
      return mark_ready(stream);
    case FrameType::kData:
      if (stream.state != State::kOpen || stream.fin_received ||
          stream.received + payload.size() > stream.granted) {
        return misbehaved();
      }
      return on_data_frame(stream, payload, now);
    case FrameType::kFin:
      if (stream.state != State::kOpen || stream.fin_received || !payload.empty()) {
        return misbehaved();
      }
      stream.fin_received = true;
      if (!stream.orphan) events_.on_fin(id);
      if (Stream* left = find(id)) drop_if_done(*left);
      return;
    default:
      return;
  }
}

void Core::on_data_frame(Stream& stream, std::span<const std::byte> payload, Time now) {
  stream.received += payload.size();
  if (stream.interactive) interactive_at_ = now;
  if (stream.orphan) return consumed(stream.id, payload.size());
  events_.on_data(stream.id, payload);
}

}  // namespace serial_transport
