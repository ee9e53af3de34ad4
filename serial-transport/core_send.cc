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
// How much may be under way for a class to add a frame: the last places are kept for the more
// urgent, and the very last for frames that carry no data.
constexpr std::array<uint32_t, 3> kFrames = {62, 58, 50};
constexpr std::array<size_t, 3> kBytes = {304 * 1024, 280 * 1024, 256 * 1024};
// Of what may be under way on a line that may be slow, in quarters.
constexpr std::array<size_t, 3> kWindowShares = {6, 5, 4};
// Frames without data go on top of that.
static_assert(kBytes[0] + kMaxFrame + 64 * frame_size(6 + 255) <= detail::Flight::kMostBytes);

constexpr size_t kBatch = 4 * frame_size(kUsualPayload);
constexpr size_t kSmallBatch = 2 * 1024;

// Who types waits at most so long, each way, for what is before him on the line.
constexpr uint32_t kTypingShare = 50;  // of a second: 20 ms
// A keystroke, and a CREDIT that may go before it.
constexpr size_t kKeystroke = frame_size(1) + frame_size(8);
// What a UART holds beside the queue that the kernel tells.
constexpr size_t kUartFifo = 16;
// The line's queue gets the next frame when so little is left that it would run dry in 2 ms;
// whoever answers a keystroke may take as long.
constexpr uint32_t kLowShare = 500;
// While nobody types, 250 ms: who begins to must not wait behind all that a socket may hold.
constexpr uint32_t kIdleShare = 4;
constexpr size_t kLeastSlice = 32;
constexpr Time kTypingLasts = std::chrono::seconds(1);
constexpr Time kLeastHold = std::chrono::milliseconds(1);
// A socket's queue counts more than the bytes in it, and so seems to last longer than it does.
constexpr Time kLongestHold = std::chrono::milliseconds(3);
}  // namespace

size_t Core::to_send(std::span<std::byte> out, Time now) {
  size_t used = 0;
  while (out.size() - used >= largest_frame()) {
    const auto bytes = next_output(std::min(batch(), out.size() - used), now);
    if (bytes.empty()) break;
    std::memcpy(out.data() + used, bytes.data(), bytes.size());
    used += bytes.size();
    if (used >= batch()) break;
  }
  return used;
}

std::span<const std::byte> Core::output(Time now) { return next_output(batch(), now); }

// What may be taken at once. On a slow line a frame at a time: whatever comes up meanwhile may be
// more urgent.
size_t Core::batch() const {
  if (paced()) return 1;
  return check_ ? kSmallBatch : kBatch;
}

std::span<const std::byte> Core::next_output(size_t most, Time now) {
  if (!link_) return {};
  if (const size_t size = emit_hello(now); size > 0) return std::span(small_).first(size);
  if (!up_) return {};
  fill_flight(now);
  const auto frames = flight_.emit(acks(), out_secret_, now, most);
  if (!frames.empty()) {
    acks_sent();
    return frames;
  }
  if (!ack_due_ && !heartbeat_due_) return {};
  FrameHeader header = acks();
  header.type = FrameType::kAck;
  header.connection = std::exchange(heartbeat_due_, false) ? 1 : 0;
  acks_sent();
  return std::span(small_).first(seal_frame(header, 0, out_secret_, small_.data()));
}

FrameHeader Core::acks() const {
  FrameHeader header;
  header.flags = check_ ? kPayloadChecked : 0;
  header.ack = reorder_.expected();
  header.ack_bitmap = reorder_.bitmap();
  return header;
}

void Core::acks_sent() {
  ack_due_ = false;
  unacked_ = 0;
  ack_by_.reset();
}

void Core::fill_flight(Time now) {
  while (flight_.unsent_bytes() < batch()) {
    if (flight_.frames() < detail::Flight::kFrames && frame_control()) continue;
    if (frame_data(now)) continue;
    Stream* hungry = hungry_.front();
    if (hungry == nullptr) return;
    hungry_.remove(*hungry);
    hungry->starved = false;
    events_.on_writable(hungry->id);
  }
}

// OPEN, ACCEPT, REFUSE, RESET and CREDIT go before any data.
bool Core::frame_control() {
  if (frame_farewell()) return true;
  while (Stream* stream = control_.front()) {
    if (frame_control_of(*stream)) return true;
    control_.remove(*stream);
  }
  return false;
}

bool Core::frame_farewell() {
  if (farewells_.empty()) return false;
  const Farewell farewell = farewells_.front();
  farewells_.pop_front();
  const auto payload = flight_.add(farewell.type, farewell.id, 2);
  store16(payload.data(), static_cast<uint16_t>(farewell.reason));
  return true;
}

bool Core::frame_control_of(Stream& stream) {
  if (std::exchange(stream.send_open, false)) {
    const auto payload = flight_.add(FrameType::kOpen, stream.id, 6 + stream.service.size());
    store32(payload.data(), options_.window);
    payload[4] = static_cast<std::byte>(stream.traffic);
    payload[5] = static_cast<std::byte>(stream.service.size());
    std::memcpy(&payload[0] + 6, stream.service.data(), stream.service.size());
    return true;
  }
  if (std::exchange(stream.send_accept, false)) {
    store32(flight_.add(FrameType::kAccept, stream.id, 4).data(), options_.window);
    mark_ready(stream);
    return true;
  }
  if (std::exchange(stream.send_credit, false)) {
    store64(flight_.add(FrameType::kCredit, stream.id, 8).data(), stream.granted);
    return true;
  }
  return false;
}

bool Core::has_place(size_t traffic) const {
  size_t most = kBytes[traffic];
  if (paced()) most = std::min(most, flight_.window() * kWindowShares[traffic] / 4);
  return flight_.frames() < kFrames[traffic] && flight_.bytes() < most;
}

// The connections of a class take turns; places of those that are blocked are given up.
Core::Stream* Core::first_ready(size_t traffic) {
  auto& queue = ready_[traffic];
  while (Stream* stream = queue.front()) {
    if (stream->sendable()) return stream;
    queue.remove(*stream);
  }
  return nullptr;
}

// The first class that has something to send and some of its share left.
Core::Stream* Core::pick_stream() {
  for (int round = 0; round < 2; ++round) {
    bool waiting = false;
    for (size_t traffic = 0; traffic < 3; ++traffic) {
      if (budget_[traffic] <= 0) continue;
      Stream* stream = first_ready(traffic);
      if (stream == nullptr) continue;
      if (has_place(traffic)) return stream;
      waiting = true;
    }
    // It has a share left and no place: were the others given new shares, it would never find one.
    if (waiting) return nullptr;
    budget_ = kShares;
  }
  return nullptr;
}

bool Core::frame_data(Time now) {
  Stream* stream = pick_stream();
  if (stream == nullptr) return false;
  ready_[static_cast<size_t>(stream->traffic)].remove(*stream);
  if (stream->pending() == 0) {
    frame_fin(*stream);
    return true;
  }
  if (stream->interactive) interactive_at_ = now;
  size_t limit = somebody_types(now) ? std::min(slice(), frame_limit_) : frame_limit_;
  if (paced()) limit = std::min(limit, flight_.window() / 2);
  const size_t size =
      std::min({stream->pending(), limit, static_cast<size_t>(stream->credit - stream->sent)});
  stream->queue.pop(add_data(*stream, size));
  mark_ready(*stream);
  if (stream->starved && stream->pending() <= options_.send_buffer / 2) {
    stream->starved = false;
    events_.on_writable(stream->id);
  }
  return true;
}

std::span<std::byte> Core::add_data(Stream& stream, size_t size) {
  stream.sent += size;
  budget_[static_cast<size_t>(stream.traffic)] -= static_cast<int64_t>(frame_size(size));
  return flight_.add(FrameType::kData, stream.id, size);
}

void Core::frame_fin(Stream& stream) {
  flight_.add(FrameType::kFin, stream.id, 0);
  stream.fin_sent = true;
  if (!stream.orphan) return drop_if_done(stream);
  const ConnectionId id = stream.id;
  const bool finished = stream.fin_received;
  erase(stream);
  // Everything was said and nobody listens here: whoever still talks should learn it.
  if (!finished) farewells_.push_back({id, FrameType::kReset, Reason::kApplication});
}

bool Core::somebody_types(Time now) const {
  return rate_ > 0 && interactive_at_ && now < *interactive_at_ + kTypingLasts;
}

// The payload of a frame while somebody types: a keystroke may find one such frame just given to
// the line, behind a little that was left there.
size_t Core::slice() const {
  const int64_t bytes = int64_t{rate_ / kTypingShare} - 2 * int64_t{rate_ / kLowShare} -
                        int64_t{kKeystroke + kUartFifo + frame_size(1) - 1};
  return std::clamp<size_t>(static_cast<size_t>(std::max<int64_t>(bytes, 0)), kLeastSlice,
                            kUsualPayload);
}

Time Core::hold(size_t queued, Time now) const {
  const size_t low = rate_ / (somebody_types(now) ? kLowShare : kIdleShare);
  if (rate_ == 0 || queued <= low) return Time{0};
  const Time drained = std::chrono::nanoseconds(std::chrono::seconds(1)) *
                       static_cast<int64_t>(queued - low) / rate_;
  return std::clamp(drained, kLeastHold, kLongestHold);
}

}  // namespace serial_transport
