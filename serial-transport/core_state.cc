// The session as it is written down for another process that goes on with it. What HELLO finds out
// again is not in it: secrets, the line, what was under way when nobody had it whole.
#include <algorithm>

#include "serial-transport/core.h"
#include "serial-transport/state_bytes.h"

namespace serial_transport {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr size_t kMostFarewells = 4096;
constexpr size_t kMostQueued = 16U << 20U;  // bytes of all connections

void save_queue(ByteQueue& queue, StateWriter& out) {
  std::vector<std::byte> bytes(queue.size());
  queue.pop(bytes);
  out.put_bytes(bytes);
}

}  // namespace

void Core::save_stream(Stream& stream, StateWriter& out) {
  for (const bool flag : {stream.interactive, stream.send_accept, stream.send_credit,
                          stream.fin_wanted, stream.fin_sent, stream.fin_received, stream.orphan}) {
    out.put(static_cast<uint8_t>(flag));
  }
  out.put(stream.traffic);
  for (const uint64_t value :
       {stream.sent, stream.credit, stream.received, stream.read, stream.granted}) {
    out.put(value);
  }
  save_queue(stream.queue, out);
}

std::string Core::hand_over(std::span<const ConnectionId> kept) {
  if (session_ == 0) return {};
  StateWriter out;
  out.put(kStateVersion);
  out.put(options_.incarnation);
  out.put(session_);
  out.put(peer_);
  out.put(next_id_);
  flight_.save(out);
  reorder_.save(out);
  out.put(static_cast<uint32_t>(farewells_.size()));
  for (const Farewell& farewell : farewells_) {
    out.put(farewell.id);
    out.put(farewell.type);
    out.put(farewell.reason);
  }
  // Who asked for a connection and had no answer asks again; what the peer knows nothing of needs
  // no end.
  for (auto next = streams_.begin(); next != streams_.end();) {
    Stream& stream = next++->second;
    if (stream.state == State::kOpening && stream.send_open) erase(stream);
  }
  out.put(static_cast<uint32_t>(streams_.size()));
  for (auto& [id, stream] : streams_) {
    const bool goes_on = stream.state == State::kOpen &&
                         (stream.orphan || std::find(kept.begin(), kept.end(), id) != kept.end());
    out.put(id);
    out.put(static_cast<uint8_t>(goes_on));
    if (goes_on) save_stream(stream, out);
  }
  return out.take();
}

bool Core::load_stream(ConnectionId id, StateReader& in) {
  Stream& stream = add(id);
  for (bool* flag : {&stream.interactive, &stream.send_accept, &stream.send_credit,
                     &stream.fin_wanted, &stream.fin_sent, &stream.fin_received, &stream.orphan}) {
    *flag = in.get_flag();
  }
  const auto traffic = in.get<uint8_t>();
  stream.traffic = static_cast<TrafficClass>(std::min<uint8_t>(traffic, 2));
  for (uint64_t* value :
       {&stream.sent, &stream.credit, &stream.received, &stream.read, &stream.granted}) {
    *value = in.get<uint64_t>();
  }
  stream.queue.append(in.get_bytes());
  if (stream.send_accept || stream.send_credit) control_.push(stream);
  mark_ready(stream);
  return in.ok() && traffic <= 2 && stream.read <= stream.received &&
         stream.received <= stream.granted;
}

bool Core::take_over(std::string_view state) {
  StateReader in(state);
  if (state.size() > kMostQueued || in.get<uint32_t>() != kStateVersion) return false;
  options_.incarnation = in.get<uint64_t>();
  session_ = in.get<uint64_t>();
  peer_ = in.get<uint64_t>();
  next_id_ = in.get<ConnectionId>();
  const ConnectionId ours = options_.role == Role::kHost ? 1 : 0;
  bool good = session_ != 0 && options_.incarnation != 0 && (next_id_ & 1U) == ours;
  good = good && flight_.load(in) && reorder_.load(in);
  const auto farewells = in.get<uint32_t>();
  good = good && farewells <= kMostFarewells;
  for (uint32_t i = 0; i < farewells && good; ++i) {
    const auto id = in.get<ConnectionId>();
    const auto type = static_cast<FrameType>(in.get<uint8_t>());
    const auto reason = static_cast<Reason>(in.get<uint16_t>());
    good = in.ok() && (type == FrameType::kRefuse || type == FrameType::kReset);
    farewells_.push_back({id, type, reason});
  }
  const auto streams = in.get<uint32_t>();
  good = good && streams <= options_.max_connections;
  for (uint32_t i = 0; i < streams && good; ++i) {
    const auto id = in.get<ConnectionId>();
    if (in.get_flag()) {
      good = !streams_.contains(id) && load_stream(id, in);
    } else {
      farewells_.push_back({id, FrameType::kReset, Reason::kPeerRestarted});
    }
  }
  return good && in.at_end();
}

bool Core::is_open(ConnectionId id) const {
  const auto it = streams_.find(id);
  return it != streams_.end() && it->second.state == State::kOpen && !it->second.orphan;
}

}  // namespace serial_transport
