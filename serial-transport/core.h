// The transport as a state machine: bytes and the time go in, bytes and events come out. No clock,
// no descriptor, no thread. docs/protocol.md is the specification.
//
// One Core is one end of one link. It lives through any number of byte links: on_link_up() and
// on_link_down() say when there is one. After each HELLO it knows whether the same two incarnations
// met again; then every connection goes on, else each is reset with Reason::kPeerRestarted.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serial-transport/frame.h"
#include "serial-transport/hello.h"
#include "serial-transport/reason.h"

namespace serial_transport {

using Time = std::chrono::nanoseconds;  // since any fixed moment
using ConnectionId = uint16_t;

enum class TrafficClass : uint8_t { kControl = 0, kInteractive = 1, kBulk = 2 };

struct CoreOptions {
  Role role = Role::kHost;
  Key key{};
  uint64_t incarnation = 0;  // not 0; another for each life of the process
  std::function<Nonce()> make_nonce;
  bool payload_check = false;        // set it where the link can corrupt bytes
  uint32_t window = 256 * 1024;      // receive credit of each connection, bytes
  uint32_t send_buffer = 64 * 1024;  // what write() takes ahead of the link, each connection
  size_t max_connections = 1024;
  Time least_retransmission_time = std::chrono::milliseconds(200);
};

// Called from within on_bytes(), on_tick() and the link calls. Calling back into the core is
// allowed.
class CoreEvents {
 public:
  virtual ~CoreEvents() = default;
  virtual void on_session(bool up) = 0;
  // The peer wants a connection: answer with accept() or refuse(), now or later.
  virtual void on_open(ConnectionId id, TrafficClass traffic, std::string_view service) = 0;
  virtual void on_accepted(ConnectionId id) = 0;
  virtual void on_data(ConnectionId id, std::span<const std::byte> bytes) = 0;
  virtual void on_writable(ConnectionId id) = 0;  // write() takes bytes again
  virtual void on_fin(ConnectionId id) = 0;
  // Both ends have finished: the connection is gone without a fault. Its id may be used again.
  virtual void on_done(ConnectionId id) = 0;
  // The connection is gone: refused, reset or lost. Its id may be used again.
  virtual void on_end(ConnectionId id, Reason reason) = 0;
};

class Core {
 public:
  Core(CoreOptions options, CoreEvents& events);

  void on_link_up(Time now);
  void on_link_down();
  void on_bytes(std::span<const std::byte> bytes, Time now);
  void on_tick(Time now);
  // When on_tick() wants to be called at the latest; nothing: not before something else happens.
  std::optional<Time> next_deadline() const;
  // The largest frame that to_send() makes.
  size_t largest_frame() const;
  // Fills `out` (at least largest_frame() bytes) with whole frames for the wire; 0: nothing to
  // send.
  size_t to_send(std::span<std::byte> out, Time now);

  bool session_up() const { return up_; }

  // Opens a connection; nothing when there are too many. on_accepted or on_end follows.
  std::optional<ConnectionId> open(std::string_view service, TrafficClass traffic);
  void accept(ConnectionId id, TrafficClass traffic);
  void refuse(ConnectionId id, Reason reason);
  // Takes as much as the send buffer has room for; on_writable follows when it took less than all.
  size_t write(ConnectionId id, std::span<const std::byte> bytes);
  void finish(ConnectionId id);                // half-close behind what was written
  void reset(ConnectionId id, Reason reason);  // at once; no on_end follows
  // Nobody here cares any more: what was written still goes out, then the end; no event follows.
  void abandon(ConnectionId id);
  void consumed(ConnectionId id, size_t bytes);  // the user has read so much of what on_data gave
  void close();                                  // resets everything

 private:
  static constexpr uint32_t kFlight = 64;  // frames under way, each direction
  enum class State : uint8_t { kOpening, kAccepting, kOpen };
  struct Stream {
    State state = State::kOpen;
    TrafficClass traffic = TrafficClass::kBulk;
    bool send_open = false, send_accept = false, send_credit = false;
    bool fin_wanted = false, fin_sent = false, fin_received = false;
    bool starved = false;   // write() took less than it was given
    bool orphan = false;    // nobody here reads it any more; what was written still goes out
    bool in_ready = false;  // has a place in ready_
    std::string service;
    std::vector<std::byte> buffer;  // written, not yet framed: from `start` on
    size_t start = 0;
    uint64_t sent = 0, credit = 0;  // bytes sent, bytes the peer allows in all
    uint64_t received = 0, granted = 0, read = 0;
    size_t pending() const { return buffer.size() - start; }
    bool sendable() const {
      if (state != State::kOpen || send_accept || fin_sent) return false;
      return pending() > 0 ? sent < credit : fin_wanted;
    }
  };
  struct Slot {
    FrameType type{};
    uint16_t connection = 0;
    std::vector<std::byte> payload;
    Time sent_at{};
    bool acked = true, resend = false, retransmitted = false;
  };
  struct Parked {
    bool used = false;
    FrameHeader header;
    std::vector<std::byte> payload;
  };
  struct Farewell {
    ConnectionId id;
    FrameType type;
    Reason reason;
  };
  using Streams = std::map<ConnectionId, Stream>;

  // core_hello.cc
  void begin_hello(Time now);
  void on_hello_deadline(Time now);
  void on_hello1(std::span<const std::byte> payload, Time now);
  void on_hello2(std::span<const std::byte> payload, Time now);
  void on_hello3(std::span<const std::byte> payload, Time now);
  bool can_resume(const HelloProof& message, uint64_t peer) const;
  void establish(const Hello1& host, const Hello1& guest, bool resume, uint32_t expected);
  void forget_session();
  void break_session(Time now);
  HelloProof my_statement() const;
  size_t emit_hello(std::byte* out);
  // core_receive.cc
  size_t parse(std::span<const std::byte> bytes, Time now);
  void watch_partial(Time now);
  void peek(Time now);
  void on_frame(const FrameHeader& header, std::span<const std::byte> payload, Time now);
  void on_sequenced(const FrameHeader& header, std::span<const std::byte> payload, Time now);
  void deliver(const FrameHeader& header, std::span<const std::byte> payload);
  void on_open_frame(ConnectionId id, std::span<const std::byte> payload);
  void on_stream_frame(Streams::iterator stream, const FrameHeader& header,
                       std::span<const std::byte> payload);
  void on_data_frame(ConnectionId id, Stream& stream, std::span<const std::byte> payload);
  // core_ack.cc
  void on_acks(const FrameHeader& header, Time now);
  bool acknowledge(Slot& slot, Time now);
  void resend_slot(Slot& slot);
  void resend_late(Time now);
  Time retransmission_time() const;
  // core.cc
  void erase(Streams::iterator stream);
  void end(Streams::iterator stream, Reason reason);
  void drop_if_done(ConnectionId id);
  void mark_ready(ConnectionId id, Stream& stream);
  // core_send.cc
  size_t next_frame(std::byte* out, Time now);
  size_t emit_slot(uint32_t sequence, std::byte* out, Time now);
  bool frame_control();
  bool frame_control_of(ConnectionId id, Stream& stream);
  bool frame_data();
  void frame_fin(ConnectionId id, Stream& stream);
  Stream* pick_stream(ConnectionId& id);
  Stream* first_ready(size_t traffic, ConnectionId& id);
  Slot& new_slot(FrameType type, uint16_t connection);
  FrameHeader header_for(FrameType type) const;
  size_t emit(const FrameHeader& header, std::span<const std::byte> payload, std::byte* out);

  CoreOptions options_;
  CoreEvents& events_;
  bool link_ = false;
  bool up_ = false;
  std::vector<std::byte> incoming_;    // the beginning of a frame that has not all arrived
  std::optional<Time> partial_since_;  // when that frame began to be waited for
  size_t peeked_ = 0;                  // how far it was searched for HELLOs
  bool peek_due_ = false;

  // HELLO
  Hello1 mine_;                  // of the attempt under way or the session
  std::optional<Hello1> other_;  // guest: the host's HELLO1 that we answered
  bool send_hello1_ = false, send_hello2_ = false, send_hello3_ = false, attempting_ = false;
  std::vector<std::byte> hello3_;
  std::optional<Time> hello_deadline_;
  Time hello_wait_{};
  unsigned hello_tries_ = 0;
  std::optional<Nonce> established_;  // guest: of the host's HELLO1 that led to the current secrets
  uint64_t peer_ = 0;                 // incarnation of the session's other end
  uint64_t session_ = 0;              // 0: none yet
  uint64_t establishments_ = 0;
  std::optional<uint32_t> in_secret_;
  uint32_t out_secret_ = 0;

  // Sequences
  std::array<Slot, kFlight> flight_;
  uint32_t oldest_ = 1, next_ = 1;  // unacknowledged; to be given next
  std::array<Parked, kFlight> parked_;
  uint32_t expected_ = 1;
  bool ack_due_ = false, heartbeat_due_ = false;
  std::optional<Time> smoothed_;
  Time variation_{};
  unsigned back_off_ = 0;
  size_t frame_limit_ = 0;  // payload of a new DATA frame; follows the losses where bytes corrupt
  Time heard_or_asked_{};
  unsigned unanswered_ = 0;  // heartbeats since anything was heard

  // Connections
  Streams streams_;
  std::deque<Farewell> farewells_;    // REFUSE and RESET frames of streams that are gone
  std::deque<ConnectionId> control_;  // may have OPEN, ACCEPT or CREDIT to send
  std::array<std::deque<ConnectionId>, 3> ready_;
  ConnectionId next_id_;
  std::array<int64_t, 3> budget_{};
};

}  // namespace serial_transport
