// The receiving half: bytes to frames to connections.
#include <algorithm>
#include <utility>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {

// A frame that has not arrived whole by then may be the stump of one that never will, with a HELLO
// behind it: look into it.
constexpr Time kPatience = std::chrono::milliseconds(20);
// Refusals and resets that wait to be sent. A peer that reads at all never makes so many.
constexpr size_t kMaxFarewells = 4096;

}  // namespace

void Core::on_bytes(std::span<const std::byte> bytes, Time now) {
  if (!link_) return;
  size_t done = 0;
  if (incoming_.empty()) {
    done = parse(bytes, now);
    const auto rest = bytes.subspan(done);
    incoming_.insert(incoming_.end(), rest.begin(), rest.end());
  } else {
    // What is left over is less than a frame, so this stays bounded by what one call brings.
    incoming_.insert(incoming_.end(), bytes.begin(), bytes.end());
    done = parse(incoming_, now);
    incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<ptrdiff_t>(done));
  }
  if (done > 0) {
    partial_since_.reset();
    peeked_ = 0;
  }
  watch_partial(now);
}

size_t Core::parse(std::span<const std::byte> bytes, Time now) {
  size_t done = 0;
  while (done < bytes.size()) {
    const Scan scan = scan_frame(bytes.subspan(done), in_secret_);
    if (scan.kind == Scan::Kind::kNeedMore) break;
    done += scan.size;
    if (scan.kind == Scan::Kind::kFrame) on_frame(scan.header, scan.payload, now);
  }
  return done;
}

void Core::watch_partial(Time now) {
  if (incoming_.size() <= kHeaderSize) {
    partial_since_.reset();
    peek_due_ = false;
    return;
  }
  if (!partial_since_) {
    partial_since_ = now;
    peek_due_ = true;
  } else if (now >= *partial_since_ + kPatience) {
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
    peeked_ = 0;
    partial_since_.reset();
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
  on_acks(header, now);
  if (header.type != FrameType::kAck) return on_sequenced(header, payload, now);
  if (header.connection == 1) ack_due_ = true;
}

void Core::on_sequenced(const FrameHeader& header, std::span<const std::byte> payload, Time now) {
  ack_due_ = true;
  const uint32_t ahead = header.sequence - expected_;
  if (ahead >= kFlight) return;  // a repetition, or beyond what we allow
  Parked& place = parked_[header.sequence % kFlight];
  if (ahead > 0) {
    if (std::exchange(place.used, true)) return;
    place.header = header;
    place.payload.assign(payload.begin(), payload.end());
    return;
  }
  ++expected_;
  const uint64_t before = establishments_;
  deliver(header, payload);
  while (parked_[expected_ % kFlight].used) {
    Parked& parked = parked_[expected_ % kFlight];
    parked.used = false;
    ++expected_;
    deliver(parked.header, parked.payload);
  }
  if (establishments_ == before && farewells_.size() > kMaxFarewells) break_session(now);
}

void Core::deliver(const FrameHeader& header, std::span<const std::byte> payload) {
  if (header.type == FrameType::kOpen) return on_open_frame(header.connection, payload);
  const auto stream = streams_.find(header.connection);
  if (stream != streams_.end()) on_stream_frame(stream, header, payload);
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
  Stream& stream = streams_[id];
  stream.state = State::kAccepting;
  stream.traffic = static_cast<TrafficClass>(traffic);
  stream.credit = load32(payload.data());
  stream.service.assign(reinterpret_cast<const char*>(payload.data()) + 6, length);
  const std::string service = stream.service;
  events_.on_open(id, stream.traffic, service);
}

void Core::on_stream_frame(Streams::iterator stream, const FrameHeader& header,
                           std::span<const std::byte> payload) {
  const ConnectionId id = stream->first;
  Stream& s = stream->second;
  const auto misbehaved = [&] {
    farewells_.push_back({id, FrameType::kReset, Reason::kProtocolError});
    end(stream, Reason::kProtocolError);
  };
  switch (header.type) {
    case FrameType::kAccept:
      if (s.state != State::kOpening || s.send_open || payload.size() != 4) return misbehaved();
      s.state = State::kOpen;
      s.credit = load32(payload.data());
      return events_.on_accepted(id);
    case FrameType::kRefuse:
    case FrameType::kReset:
      if (payload.size() != 2) return end(stream, Reason::kProtocolError);
      return end(stream, static_cast<Reason>(load16(payload.data())));
    case FrameType::kCredit:
      if (payload.size() != 8) return misbehaved();
      s.credit = std::max(s.credit, load64(payload.data()));
      return mark_ready(id, s);
    case FrameType::kData:
      if (s.state != State::kOpen || s.fin_received || s.received + payload.size() > s.granted) {
        return misbehaved();
      }
      return on_data_frame(id, s, payload);
    case FrameType::kFin:
      if (s.state != State::kOpen || s.fin_received || !payload.empty()) return misbehaved();
      s.fin_received = true;
      if (!s.orphan) events_.on_fin(id);
      return drop_if_done(id);
    default:
      return;
  }
}

void Core::on_data_frame(ConnectionId id, Stream& stream, std::span<const std::byte> payload) {
  stream.received += payload.size();
  if (stream.orphan) return consumed(id, payload.size());
  events_.on_data(id, payload);
}

}  // namespace serial_transport
