// HELLO: who is there, with which proof, and whether the session goes on.
#include <utility>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {
constexpr Time kFirstWait = std::chrono::milliseconds(100);
constexpr Time kLongestWait = std::chrono::seconds(1);
constexpr unsigned kAnswers = 3;  // HELLO2s without an effect before a guest asks to be called anew
}  // namespace

// The host calls and the guest answers; a guest's own HELLO1 only asks the host to call.
void Core::begin_hello(Time now) {
  mine_ = {kVersion, kVersion, options_.role, options_.incarnation, options_.make_nonce()};
  other_.reset();
  attempting_ = true;
  send_hello1_ = true;
  send_hello2_ = send_hello3_ = false;
  hello_tries_ = 0;
  hello_wait_ = kFirstWait;
  hello_deadline_ = now + hello_wait_;
}

void Core::on_link_up(Time now) {
  link_ = true;
  incoming_.clear();
  partial_since_.reset();
  peek_due_ = false;
  begin_hello(now);
}

void Core::on_link_down() {
  link_ = false;
  attempting_ = false;
  hello_deadline_.reset();
  if (std::exchange(up_, false)) events_.on_session(false);
}

void Core::on_hello_deadline(Time now) {
  const bool guest = options_.role == Role::kGuest;
  if (guest && up_) {  // The caller never proved itself; the session stands.
    attempting_ = false;
    hello_deadline_.reset();
    return;
  }
  if (guest && other_ && ++hello_tries_ >= kAnswers) other_.reset();
  send_hello2_ = guest && other_.has_value();
  send_hello1_ = !send_hello2_;
  hello_wait_ = std::min(hello_wait_ * 2, kLongestWait);
  hello_deadline_ = now + hello_wait_;
}

void Core::on_hello1(std::span<const std::byte> payload, Time now) {
  const auto hello = decode_hello1(payload);
  if (!hello || hello->role == options_.role) return;
  if (options_.role == Role::kHost) {
    if (!attempting_) begin_hello(now);
    return;
  }
  // A late copy of the one that led here must not lead anywhere again.
  if (up_ && established_ == hello->nonce) return;
  const bool repeated =
      other_ && other_->nonce == hello->nonce && other_->incarnation == hello->incarnation;
  if (!repeated) {
    other_ = hello;
    mine_ = {kVersion, kVersion, Role::kGuest, options_.incarnation, options_.make_nonce()};
    hello_tries_ = 0;
    hello_wait_ = kFirstWait;
    hello_deadline_ = now + (up_ ? kLongestWait : kFirstWait);
  }
  send_hello2_ = true;
  send_hello1_ = false;
  attempting_ = true;
  if (!hello_deadline_) hello_deadline_ = now + kLongestWait;
}

HelloProof Core::my_statement() const {
  HelloProof statement;
  statement.hello = mine_;
  statement.session = session_;
  statement.expected = expected_;
  return statement;
}

// The same two incarnations, and a resume point that we have been at.
bool Core::can_resume(const HelloProof& message, uint64_t peer) const {
  return session_ != 0 && message.session == session_ && peer == peer_ &&
         message.expected - oldest_ <= next_ - oldest_;
}

void Core::on_hello2(std::span<const std::byte> payload, Time now) {
  if (options_.role != Role::kHost) return;
  const auto message = decode_proof(payload);
  if (!message || message->hello.role != Role::kGuest) return;
  if (!check_proof(payload, 2, options_.key, mine_, message->hello)) return;
  if (!attempting_) {  // It has not got our HELLO3.
    send_hello3_ = up_ && !hello3_.empty();
    return;
  }
  HelloProof answer = my_statement();
  answer.resume = can_resume(*message, message->hello.incarnation);
  hello3_ = encode(answer, 3, options_.key, mine_, message->hello);
  send_hello3_ = true;
  heard_or_asked_ = now;
  establish(mine_, message->hello, answer.resume, message->expected);
}

void Core::on_hello3(std::span<const std::byte> payload, Time now) {
  if (options_.role != Role::kGuest || !other_ || !attempting_) return;
  const auto message = decode_proof(payload);
  if (!message || !check_proof(payload, 3, options_.key, *other_, mine_)) return;
  // A resume point that we never had: start anew.
  if (message->resume && !can_resume(*message, other_->incarnation)) return break_session(now);
  heard_or_asked_ = now;
  const Hello1 host = *other_;
  established_ = host.nonce;
  establish(host, mine_, message->resume, message->expected);
}

void Core::establish(const Hello1& host, const Hello1& guest, bool resume, uint32_t expected) {
  const bool is_host = options_.role == Role::kHost;
  out_secret_ = frame_secret(options_.key, options_.role, host, guest);
  in_secret_ = frame_secret(options_.key, is_host ? Role::kGuest : Role::kHost, host, guest);
  ++establishments_;
  attempting_ = false;
  send_hello1_ = send_hello2_ = false;
  hello_deadline_.reset();
  if (resume) {
    for (; oldest_ != expected; ++oldest_) flight_[oldest_ % kFlight].acked = true;
    for (uint32_t s = oldest_; s != next_; ++s) {
      flight_[s % kFlight].resend = !flight_[s % kFlight].acked;
    }
  } else {
    forget_session();
    session_ = session_id(options_.key, host, guest);
    peer_ = is_host ? guest.incarnation : host.incarnation;
  }
  back_off_ = 0;
  unanswered_ = 0;
  ack_due_ = true;
  if (!std::exchange(up_, true)) events_.on_session(true);
}

void Core::forget_session() {
  peer_ = session_ = 0;
  oldest_ = next_ = expected_ = 1;
  for (Slot& slot : flight_) slot.acked = true;
  for (Parked& parked : parked_) parked.used = false;
  farewells_.clear();
  control_.clear();
  smoothed_.reset();
  // A connection that was asked for and never answered has lost nothing: it goes to the new peer.
  std::vector<ConnectionId> lost;
  for (auto& [id, stream] : streams_) {
    if (stream.state != State::kOpening) {
      lost.push_back(id);
    } else {
      stream.send_open = true;
      control_.push_back(id);
    }
  }
  for (const ConnectionId id : lost) {
    if (const auto stream = streams_.find(id); stream != streams_.end()) {
      end(stream, Reason::kPeerRestarted);
    }
  }
}

// There is no going on with this peer's session: away with it, and a new HELLO.
void Core::break_session(Time now) {
  in_secret_.reset();
  established_.reset();
  forget_session();
  if (std::exchange(up_, false)) events_.on_session(false);
  begin_hello(now);
}

size_t Core::emit_hello(std::byte* out) {
  FrameHeader header;
  header.flags = kPayloadChecked;
  if (std::exchange(send_hello3_, false)) {
    header.type = FrameType::kHello3;
    return encode_frame(header, hello3_, 0, out);
  }
  if (std::exchange(send_hello2_, false) && other_) {
    header.type = FrameType::kHello2;
    return encode_frame(header, encode(my_statement(), 2, options_.key, *other_, mine_), 0, out);
  }
  if (std::exchange(send_hello1_, false)) {
    header.type = FrameType::kHello1;
    return encode_frame(header, encode(mine_), 0, out);
  }
  return 0;
}

}  // namespace serial_transport
