#include "serial-transport/core.h"

#include <algorithm>
#include <utility>

#include "serial-transport/copy.h"

namespace serial_transport {
namespace {

constexpr size_t kMaxService = 255;
// Smaller pieces wait a moment for company in the same frame.
constexpr size_t kWorthAFrame = 4096;

}  // namespace

Core::Core(CoreOptions options, CoreEvents& events)
    : options_(std::move(options)),
      events_(events),
      flight_(options_.least_retransmission_time),
      next_id_(options_.role == Role::kHost ? 1 : 2) {
  // Whole frames: a full buffer that is drained would end in a small one.
  if (options_.send_buffer > kUsualPayload) {
    options_.send_buffer -= options_.send_buffer % kUsualPayload;
  }
}

Core::Stream* Core::find(ConnectionId id) {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

Core::Stream& Core::add(ConnectionId id) {
  return streams_.try_emplace(id, id, pool_).first->second;
}

std::optional<ConnectionId> Core::open(std::string_view service, TrafficClass traffic) {
  if (streams_.size() >= options_.max_connections || service.size() > kMaxService) {
    return std::nullopt;
  }
  while (next_id_ == 0 || streams_.contains(next_id_)) {
    next_id_ = static_cast<ConnectionId>(next_id_ + 2);
  }
  const ConnectionId id = next_id_;
  next_id_ = static_cast<ConnectionId>(next_id_ + 2);
  Stream& stream = add(id);
  stream.state = State::kOpening;
  stream.traffic = traffic;
  stream.interactive = traffic == TrafficClass::kInteractive;
  stream.service = service;
  stream.send_open = true;
  stream.granted = options_.window;
  control_.push(stream);
  return id;
}

void Core::accept(ConnectionId id, TrafficClass traffic) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->state != State::kAccepting) return;
  stream->state = State::kOpen;
  stream->traffic = traffic;
  stream->interactive |= traffic == TrafficClass::kInteractive;
  stream->send_accept = true;
  stream->granted = options_.window;
  control_.push(*stream);
}

void Core::refuse(ConnectionId id, Reason reason) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->state != State::kAccepting) return;
  erase(*stream);
  farewells_.push_back({id, FrameType::kRefuse, reason});
}

size_t Core::write(ConnectionId id, std::span<const std::byte> bytes) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->fin_wanted) return 0;
  size_t taken = write_through(*stream, bytes);
  const bool more_soon = taken > 0 && taken < bytes.size() && flight_.unsent_bytes() >= batch();
  if (!more_soon) {
    const size_t room =
        options_.send_buffer - std::min<size_t>(options_.send_buffer, stream->pending());
    const auto rest = bytes.subspan(taken, std::min(room, bytes.size() - taken));
    stream->queue.append(rest);
    taken += rest.size();
    mark_ready(*stream);
  }
  if (taken < bytes.size()) {
    stream->starved = true;
    if (stream->pending() <= options_.send_buffer / 2) hungry_.push(*stream);
  }
  return taken;
}

// Straight into frames, without a stop in the stream's queue, where the link is about to take them.
size_t Core::write_through(Stream& stream, std::span<const std::byte> bytes) {
  size_t taken = 0;
  while (bytes.size() - taken >= kWorthAFrame && may_write_through(stream)) {
    const size_t size = std::min(
        {bytes.size() - taken, frame_limit_, static_cast<size_t>(stream.credit - stream.sent)});
    const std::span<std::byte> payload = add_data(stream, size);
    copy_bytes(payload.data(), bytes.subspan(taken, size));
    taken += size;
  }
  return taken;
}

bool Core::may_write_through(const Stream& stream) const {
  const auto traffic = static_cast<size_t>(stream.traffic);
  if (!up_ || check_ || paced() || flight_.unsent_bytes() >= batch()) return false;
  if (stream.state != State::kOpen || stream.send_accept || stream.pending() > 0) return false;
  if (stream.sent >= stream.credit || budget_[traffic] <= 0 || !has_place(traffic)) return false;
  if (!farewells_.empty() || !control_.empty()) return false;
  return std::all_of(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(traffic) + 1,
                     [](const auto& queue) { return queue.empty(); });
}

void Core::finish(ConnectionId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->fin_wanted = true;
  mark_ready(*stream);
}

void Core::reset(ConnectionId id, Reason reason) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  const bool announced = stream->state != State::kOpening || !stream->send_open;
  erase(*stream);
  if (announced) farewells_.push_back({id, FrameType::kReset, reason});
}

void Core::abandon(ConnectionId id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  if (stream->state != State::kOpen || stream->fin_sent) return reset(id, Reason::kApplication);
  stream->orphan = true;
  stream->starved = false;
  hungry_.remove(*stream);
  finish(id);
}

void Core::consumed(ConnectionId id, size_t bytes) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->read += bytes;
  const uint64_t grant = stream->read + options_.window;
  if (stream->fin_received || grant - stream->granted < options_.window / 2) return;
  stream->granted = grant;
  stream->send_credit = true;
  control_.push(*stream);
}

void Core::close() {
  while (!streams_.empty()) {
    const ConnectionId id = streams_.begin()->first;
    const bool orphan = streams_.begin()->second.orphan;
    reset(id, Reason::kClosed);
    if (!orphan) events_.on_end(id, Reason::kClosed);
  }
}

void Core::erase(Stream& stream) {
  control_.remove(stream);
  ready_[static_cast<size_t>(stream.traffic)].remove(stream);
  hungry_.remove(stream);
  streams_.erase(stream.id);
}

void Core::end(Stream& stream, Reason reason) {
  const ConnectionId id = stream.id;
  const bool orphan = stream.orphan;
  erase(stream);
  if (!orphan) events_.on_end(id, reason);
}

void Core::drop_if_done(Stream& stream) {
  if (!stream.fin_sent || !stream.fin_received) return;
  const ConnectionId id = stream.id;
  const bool orphan = stream.orphan;
  erase(stream);
  if (!orphan) events_.on_done(id);
}

void Core::mark_ready(Stream& stream) {
  if (stream.sendable()) ready_[static_cast<size_t>(stream.traffic)].push(stream);
}

}  // namespace serial_transport
