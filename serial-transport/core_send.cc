// The sending half: what goes on the wire next.
#include <algorithm>
#include <cstring>
#include <utility>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {
// Shares of a busy link, in bytes a round: control before interactive before bulk, and none
// starves.
constexpr std::array<int64_t, 3> kShares = {128 * 1024, 64 * 1024, 32 * 1024};
// How many frames may be under way for a class to add one: the last places are kept for the more
// urgent, and the very last for frames that carry no data.
constexpr std::array<uint32_t, 3> kPlaces = {62, 58, 50};
}  // namespace

size_t Core::largest_frame() const {
  const size_t payload = options_.payload_check ? kMaxCheckedPayload : kMaxPayload;
  return kHeaderSize + payload + kTrailerSize;
}

size_t Core::to_send(std::span<std::byte> out, Time now) {
  size_t used = 0;
  while (link_ && out.size() - used >= largest_frame()) {
    const size_t size = next_frame(out.data() + used, now);
    if (size == 0) break;
    used += size;
  }
  return used;
}

size_t Core::next_frame(std::byte* out, Time now) {
  if (const size_t size = emit_hello(out); size > 0) return size;
  if (!up_) return 0;
  for (uint32_t s = oldest_; s != next_; ++s) {
    if (flight_[s % kFlight].resend) {
      flight_[s % kFlight].retransmitted = true;
      return emit_slot(s, out, now);
    }
  }
  if (next_ - oldest_ < kFlight && (frame_control() || frame_data()))
    return emit_slot(next_ - 1, out, now);
  if (ack_due_ || heartbeat_due_) {
    FrameHeader header = header_for(FrameType::kAck);
    header.connection = std::exchange(heartbeat_due_, false) ? 1 : 0;
    return emit(header, {}, out);
  }
  return 0;
}

FrameHeader Core::header_for(FrameType type) const {
  FrameHeader header;
  header.type = type;
  header.flags = options_.payload_check ? kPayloadChecked : 0;
  header.ack = expected_;
  for (uint32_t i = 0; i < kFlight - 1; ++i) {
    if (parked_[(expected_ + 1 + i) % kFlight].used) header.ack_bitmap |= uint64_t{1} << i;
  }
  return header;
}

size_t Core::emit(const FrameHeader& header, std::span<const std::byte> payload, std::byte* out) {
  ack_due_ = false;
  return encode_frame(header, payload, out_secret_, out);
}

size_t Core::emit_slot(uint32_t sequence, std::byte* out, Time now) {
  Slot& slot = flight_[sequence % kFlight];
  slot.resend = false;
  slot.sent_at = now;
  FrameHeader header = header_for(slot.type);
  header.connection = slot.connection;
  header.sequence = sequence;
  return emit(header, slot.payload, out);
}

Core::Slot& Core::new_slot(FrameType type, uint16_t connection) {
  Slot& slot = flight_[next_++ % kFlight];
  slot.type = type;
  slot.connection = connection;
  slot.acked = slot.resend = slot.retransmitted = false;
  slot.payload.clear();
  return slot;
}

// OPEN, ACCEPT, REFUSE, RESET and CREDIT go before any data.
bool Core::frame_control() {
  if (!farewells_.empty()) {
    const Farewell farewell = farewells_.front();
    farewells_.pop_front();
    Slot& slot = new_slot(farewell.type, farewell.id);
    slot.payload.resize(2);
    store16(slot.payload.data(), static_cast<uint16_t>(farewell.reason));
    return true;
  }
  while (!control_.empty()) {
    const ConnectionId id = control_.front();
    const auto it = streams_.find(id);
    if (it != streams_.end() && frame_control_of(id, it->second)) return true;
    control_.pop_front();
  }
  return false;
}

bool Core::frame_control_of(ConnectionId id, Stream& stream) {
  if (std::exchange(stream.send_open, false)) {
    Slot& slot = new_slot(FrameType::kOpen, id);
    slot.payload.resize(6 + stream.service.size());
    store32(slot.payload.data(), options_.window);
    slot.payload[4] = static_cast<std::byte>(stream.traffic);
    slot.payload[5] = static_cast<std::byte>(stream.service.size());
    std::memcpy(slot.payload.data() + 6, stream.service.data(), stream.service.size());
    return true;
  }
  if (std::exchange(stream.send_accept, false)) {
    Slot& slot = new_slot(FrameType::kAccept, id);
    slot.payload.resize(4);
    store32(slot.payload.data(), options_.window);
    mark_ready(id, stream);
    return true;
  }
  if (std::exchange(stream.send_credit, false)) {
    Slot& slot = new_slot(FrameType::kCredit, id);
    slot.payload.resize(8);
    store64(slot.payload.data(), stream.granted);
    return true;
  }
  return false;
}

// The connections of a class take turns; places of those that are gone or blocked are given up.
Core::Stream* Core::first_ready(size_t traffic, ConnectionId& id) {
  std::deque<ConnectionId>& queue = ready_[traffic];
  while (!queue.empty()) {
    id = queue.front();
    if (const auto it = streams_.find(id); it != streams_.end()) {
      if (it->second.sendable()) return &it->second;
      it->second.in_ready = false;
    }
    queue.pop_front();
  }
  return nullptr;
}

// The first class that has something to send and some of its share left.
Core::Stream* Core::pick_stream(ConnectionId& id) {
  for (int round = 0; round < 2; ++round) {
    for (size_t traffic = 0; traffic < 3; ++traffic) {
      if (budget_[traffic] <= 0 || next_ - oldest_ >= kPlaces[traffic]) continue;
      if (Stream* stream = first_ready(traffic, id)) return stream;
    }
    budget_ = kShares;
  }
  return nullptr;
}

bool Core::frame_data() {
  ConnectionId id = 0;
  Stream* stream = pick_stream(id);
  if (stream == nullptr) return false;
  const auto traffic = static_cast<size_t>(stream->traffic);
  ready_[traffic].pop_front();
  stream->in_ready = false;
  if (stream->pending() == 0) {
    frame_fin(id, *stream);
    return true;
  }
  const size_t size = std::min(
      {stream->pending(), frame_limit_, static_cast<size_t>(stream->credit - stream->sent)});
  Slot& slot = new_slot(FrameType::kData, id);
  const auto begin = stream->buffer.begin() + static_cast<ptrdiff_t>(stream->start);
  slot.payload.assign(begin, begin + static_cast<ptrdiff_t>(size));
  stream->start += size;
  stream->sent += size;
  budget_[traffic] -= static_cast<int64_t>(size + kHeaderSize + kTrailerSize);
  mark_ready(id, *stream);
  if (stream->starved && stream->pending() <= options_.send_buffer / 2) {
    stream->starved = false;
    events_.on_writable(id);
  }
  return true;
}

void Core::frame_fin(ConnectionId id, Stream& stream) {
  new_slot(FrameType::kFin, id);
  stream.fin_sent = true;
  if (!stream.orphan) return drop_if_done(id);
  const bool finished = stream.fin_received;
  erase(streams_.find(id));
  // Everything was said and nobody listens here: whoever still talks should learn it.
  if (!finished) farewells_.push_back({id, FrameType::kReset, Reason::kApplication});
}

}  // namespace serial_transport
