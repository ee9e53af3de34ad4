#include "serial-transport/core.h"

#include <algorithm>
#include <utility>

namespace serial_transport {
namespace {

constexpr size_t kMaxService = 255;

}  // namespace

Core::Core(CoreOptions options, CoreEvents& events)
    : options_(std::move(options)),
      events_(events),
      frame_limit_(options_.payload_check ? kFirstCheckedPayload : kMaxPayload),
      next_id_(options_.role == Role::kHost ? 1 : 2) {}

std::optional<ConnectionId> Core::open(std::string_view service, TrafficClass traffic) {
  if (streams_.size() >= options_.max_connections || service.size() > kMaxService) {
    return std::nullopt;
  }
  while (next_id_ == 0 || streams_.contains(next_id_)) {
    next_id_ = static_cast<ConnectionId>(next_id_ + 2);
  }
  const ConnectionId id = next_id_;
  next_id_ = static_cast<ConnectionId>(next_id_ + 2);
  Stream& stream = streams_[id];
  stream.state = State::kOpening;
  stream.traffic = traffic;
  stream.service = service;
  stream.send_open = true;
  stream.granted = options_.window;
  control_.push_back(id);
  return id;
}

void Core::accept(ConnectionId id, TrafficClass traffic) {
  const auto it = streams_.find(id);
  if (it == streams_.end() || it->second.state != State::kAccepting) return;
  it->second.state = State::kOpen;
  it->second.traffic = traffic;
  it->second.send_accept = true;
  it->second.granted = options_.window;
  control_.push_back(id);
}

void Core::refuse(ConnectionId id, Reason reason) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  erase(it);
  farewells_.push_back({id, FrameType::kRefuse, reason});
}

size_t Core::write(ConnectionId id, std::span<const std::byte> bytes) {
  const auto it = streams_.find(id);
  if (it == streams_.end() || it->second.fin_wanted) return 0;
  Stream& stream = it->second;
  const size_t room =
      options_.send_buffer - std::min<size_t>(options_.send_buffer, stream.pending());
  const size_t taken = std::min(room, bytes.size());
  if (stream.start > 0 && stream.start == stream.buffer.size()) {
    stream.buffer.clear();
    stream.start = 0;
  } else if (stream.start >= options_.send_buffer) {
    stream.buffer.erase(stream.buffer.begin(),
                        stream.buffer.begin() + static_cast<ptrdiff_t>(stream.start));
    stream.start = 0;
  }
  stream.buffer.insert(stream.buffer.end(), bytes.begin(),
                       bytes.begin() + static_cast<ptrdiff_t>(taken));
  if (taken < bytes.size()) stream.starved = true;
  mark_ready(id, stream);
  return taken;
}

void Core::finish(ConnectionId id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  it->second.fin_wanted = true;
  mark_ready(id, it->second);
}

void Core::reset(ConnectionId id, Reason reason) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  const bool announced = it->second.state != State::kOpening || !it->second.send_open;
  erase(it);
  if (announced) farewells_.push_back({id, FrameType::kReset, reason});
}

void Core::abandon(ConnectionId id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  if (it->second.state != State::kOpen || it->second.fin_sent) {
    return reset(id, Reason::kApplication);
  }
  it->second.orphan = true;
  finish(id);
}

void Core::consumed(ConnectionId id, size_t bytes) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  Stream& stream = it->second;
  stream.read += bytes;
  const uint64_t grant = stream.read + options_.window;
  if (stream.fin_received || grant - stream.granted < options_.window / 4) return;
  stream.granted = grant;
  if (!std::exchange(stream.send_credit, true)) control_.push_back(id);
}

void Core::close() {
  while (!streams_.empty()) {
    const ConnectionId id = streams_.begin()->first;
    reset(id, Reason::kClosed);
    events_.on_end(id, Reason::kClosed);
  }
}

void Core::erase(Streams::iterator stream) {
  const ConnectionId id = stream->first;
  std::erase(control_, id);
  if (stream->second.in_ready) {
    std::erase(ready_[static_cast<size_t>(stream->second.traffic)], id);
  }
  streams_.erase(stream);
}

void Core::end(Streams::iterator stream, Reason reason) {
  const ConnectionId id = stream->first;
  const bool orphan = stream->second.orphan;
  erase(stream);
  if (!orphan) events_.on_end(id, reason);
}

void Core::drop_if_done(ConnectionId id) {
  const auto it = streams_.find(id);
  if (it == streams_.end() || !it->second.fin_sent || !it->second.fin_received) return;
  const bool orphan = it->second.orphan;
  erase(it);
  if (!orphan) events_.on_done(id);
}

void Core::mark_ready(ConnectionId id, Stream& stream) {
  if (stream.in_ready || !stream.sendable()) return;
  stream.in_ready = true;
  ready_[static_cast<size_t>(stream.traffic)].push_back(id);
}

}  // namespace serial_transport
