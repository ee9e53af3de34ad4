// The transport as a state machine: bytes and the time go in, bytes and events come out. No clock,
// no descriptor, no thread. docs/protocol.md is the specification.
//
// One Core is one end of one link. It lives through any number of byte links: on_link_up() and
// on_link_down() say when there is one. After each HELLO it knows whether the same two incarnations
// met again; then every connection goes on, else each is reset with Reason::kPeerRestarted.
#pragma once

#include <array>
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

#include "serial-transport/flight.h"
#include "serial-transport/frame.h"
#include "serial-transport/hello.h"
#include "serial-transport/reason.h"
#include "serial-transport/reorder.h"
#include "serial-transport/state_bytes.h"
#include "serial-transport/stream.h"
#include "serial-transport/types.h"

namespace serial_transport {

struct CoreOptions {
  Role role = Role::kHost;
  Key key{};
  uint64_t incarnation = 0;  // not 0; another for each life of the process
  std::function<Nonce()> make_nonce;
  bool payload_check = false;        // as LineTraits::can_corrupt, for every line
  uint32_t window = 256 * 1024;      // receive credit of each connection, bytes
  uint32_t send_buffer = 64 * 1024;  // what write() takes ahead of the link, each connection
  size_t max_connections = 1024;
  Time least_retransmission_time = std::chrono::milliseconds(200);
};

// Why there is no session, as far as one can tell.
enum class Trouble : uint8_t {
  kNone,
  kNoAnswer,        // nothing that makes sense has arrived
  kWrongProof,      // there is somebody who has another key
  kForeignVersion,  // there is somebody who speaks another version of the protocol
  kSameRole,        // there is another host, or another guest
};

// Called from within any call of the core. Calling back is allowed, but for on_bytes(), on_tick(),
// output(), to_send() and the link calls.
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

  void on_link_up(Time now, LineTraits line = {});
  void on_link_down();
  void on_bytes(std::span<const std::byte> bytes, Time now);
  void on_tick(Time now);
  // When on_tick() wants to be called at the latest; nothing: not before something else happens.
  std::optional<Time> next_deadline() const;

  // What the link is to be given next; empty when there is nothing. Call it again only when all of
  // it has been given, or the link is another. The bytes stay in place until then.
  std::span<const std::byte> output(Time now);
  // The same as copies: fills `out` (at least largest_frame() bytes) with whole frames; 0: nothing
  // to send.
  size_t to_send(std::span<std::byte> out, Time now);
  static constexpr size_t largest_frame() { return kMaxFrame; }
  // On a slow line: how long to leave it alone before asking for output, given that its queue still
  // holds so many bytes. Whoever types must not wait behind them.
  Time hold(size_t queued, Time now) const;
  // Of the session's line, as both ends know it; 0: fast.
  uint32_t bytes_per_second() const { return rate_; }

  bool session_up() const { return up_; }
  uint64_t session() const { return session_; }    // the same at both ends; 0: none yet
  bool silent() const { return unanswered_ > 1; }  // the peer has left heartbeats unanswered
  Role role() const { return options_.role; }
  Trouble trouble() const { return up_ ? Trouble::kNone : trouble_; }
  ChunkPool& pool() { return pool_; }

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

  // The session, for a core in another process with the same key and role that goes on with it: the
  // peer notices a HELLO and no more. The `kept` connections that are open go on, and what was left
  // behind by abandon(); the others are reset there with Reason::kPeerRestarted. Nothing in it is
  // secret but what the connections carry. Empty: there is no session. This core is to say nothing
  // more and is of no further use.
  std::string hand_over(std::span<const ConnectionId> kept);
  // Before the first link: what hand_over() gave. False: it makes no sense, and this core is none.
  bool take_over(std::string_view state);
  // A connection that take_over() brought along, with a user here.
  bool is_open(ConnectionId id) const;

 private:
  using Stream = detail::Stream;
  using State = Stream::State;
  struct Farewell {
    ConnectionId id;
    FrameType type;
    Reason reason;
  };

  // core_hello.cc
  Hello1 my_hello1() const;
  void begin_hello(Time now);
  void call_again(Time now);
  void on_hello_deadline(Time now);
  void on_hello1(std::span<const std::byte> payload, Time now);
  void answer(const Hello1& host, Time now);
  void on_hello2(std::span<const std::byte> payload, Time now);
  void on_hello3(std::span<const std::byte> payload, Time now);
  bool same_session(const HelloProof& message, uint64_t peer) const;
  void establish(const Hello1& host, const Hello1& guest, const HelloProof& message, bool resume,
                 Time now);
  void agree_on_line(const Hello1& host, const Hello1& guest);
  void forget_session();
  void break_session(Time now);
  HelloProof my_statement() const;
  size_t emit_hello(Time now);
  // core_state.cc
  static void save_stream(Stream& stream, StateWriter& out);
  bool load_stream(ConnectionId id, StateReader& in);
  // core_receive.cc
  std::span<const std::byte> finish_partial(std::span<const std::byte> bytes, Time now);
  std::span<const std::byte> parse(std::span<const std::byte> bytes, Time now);
  Time patience() const;
  Time first_wait() const;
  Time longest_wait() const;
  Time idle() const;
  void watch_partial(Time now);
  void peek(Time now);
  void on_frame(const FrameHeader& header, std::span<const std::byte> payload, Time now);
  void on_sequenced(const FrameHeader& header, std::span<const std::byte> payload, Time now);
  void deliver(const FrameHeader& header, std::span<const std::byte> payload, Time now);
  void on_open_frame(ConnectionId id, std::span<const std::byte> payload);
  void on_stream_frame(Stream& stream, const FrameHeader& header,
                       std::span<const std::byte> payload, Time now);
  void on_data_frame(Stream& stream, std::span<const std::byte> payload, Time now);
  void note(const detail::Flight::Findings& findings);
  // core.cc
  Stream* find(ConnectionId id);
  Stream& add(ConnectionId id);
  void erase(Stream& stream);
  void end(Stream& stream, Reason reason);
  void drop_if_done(Stream& stream);
  void mark_ready(Stream& stream);
  size_t write_through(Stream& stream, std::span<const std::byte> bytes);
  bool may_write_through(const Stream& stream) const;
  // core_send.cc
  std::span<const std::byte> next_output(size_t most, Time now);
  size_t batch() const;
  void fill_flight(Time now);
  bool frame_control();
  bool frame_farewell();
  bool frame_control_of(Stream& stream);
  bool frame_data(Time now);
  void frame_fin(Stream& stream);
  std::span<std::byte> add_data(Stream& stream, size_t size);
  bool paced() const { return rate_ > 0 || line_.nested; }
  bool has_place(size_t traffic) const;
  Stream* pick_stream();
  Stream* first_ready(size_t traffic);
  bool somebody_types(Time now) const;
  size_t slice() const;
  FrameHeader acks() const;
  void acks_sent();

  CoreOptions options_;
  CoreEvents& events_;
  bool link_ = false;
  bool up_ = false;
  LineTraits line_;                    // of our end
  bool check_ = false;                 // payloads, on the session's line
  uint32_t rate_ = 0;                  // of the session's line
  std::vector<std::byte> incoming_;    // the beginning of a frame that has not all arrived
  std::optional<Time> partial_since_;  // when that frame began to be waited for
  size_t peeked_ = 0;                  // how far it was searched for HELLOs
  bool peek_due_ = false;
  std::array<std::byte, kHeaderSize + kMaxHelloPayload + kTrailerSize> small_;  // HELLO or ACK

  // HELLO
  Hello1 mine_;                  // of the attempt under way or the session
  std::optional<Hello1> other_;  // guest: the HELLO1 that we answered; host: the HELLO2's
  bool send_hello1_ = false, send_hello2_ = false, send_hello3_ = false, attempting_ = false;
  std::vector<std::byte> hello3_;
  std::optional<Time> hello_deadline_;
  Time hello_wait_{}, called_at_{}, established_at_{};
  Time begun_at_{};    // when this attempt, or the answers to the other's, began
  Time hello_took_{};  // until the last one was over: what was said in it may be under way so long
  unsigned hello_tries_ = 0;
  bool answered_ = false;      // guest: a HELLO3 to our latest HELLO2 still counts
  unsigned stale_points_ = 0;  // resume points that the session had left behind, one after another
  Trouble trouble_ = Trouble::kNoAnswer;
  std::optional<Nonce> established_;  // guest: of the host's HELLO1 that led to the current secrets
  uint64_t peer_ = 0;                 // incarnation of the session's other end
  uint64_t session_ = 0;              // 0: none yet
  uint64_t establishments_ = 0;
  std::optional<uint32_t> in_secret_;
  uint32_t out_secret_ = 0;

  // Sequences
  detail::Flight flight_;
  detail::Reorder reorder_;
  bool ack_due_ = false, heartbeat_due_ = false;
  unsigned unacked_ = 0;                // frames received since we last acknowledged any
  std::optional<Time> ack_by_;          // they wait until then for something to go with
  size_t frame_limit_ = kUsualPayload;  // of a new DATA frame; follows the losses
  Time heard_or_asked_{};
  unsigned unanswered_ = 0;             // heartbeats since anything was heard
  std::optional<Time> interactive_at_;  // when an interactive byte last went either way

  // Connections
  ChunkPool pool_;
  std::map<ConnectionId, Stream> streams_;
  std::deque<Farewell> farewells_;  // REFUSE and RESET frames of streams that are gone
  detail::StreamQueue<&Stream::control> control_;
  std::array<detail::StreamQueue<&Stream::ready>, 3> ready_;
  detail::StreamQueue<&Stream::hungry> hungry_;
  ConnectionId next_id_;
  std::array<int64_t, 3> budget_{};
};

}  // namespace serial_transport
