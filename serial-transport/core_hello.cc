// HELLO: who is there, with which proof, and whether the session goes on.
#include <algorithm>
#include <utility>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {
constexpr Time kFirstWait = std::chrono::milliseconds(100);
constexpr Time kLongestWait = std::chrono::seconds(1);
// Where nothing gets lost, what has no answer is under way, perhaps for long.
constexpr Time kFirstWaitNested = std::chrono::seconds(4);
constexpr Time kLongestWaitNested = std::chrono::seconds(16);
constexpr unsigned kAnswers = 3;  // HELLO2s without an effect before a guest gives the caller up
// A guest that asks for a call is called at once, but no more often than this, since its request
// proves nothing.
constexpr Time kBetweenCalls = std::chrono::milliseconds(20);
// Nor, while there is a session, sooner than this after it began: it may be a late copy, or the
// content of a connection seen inside an unfinished frame.
constexpr Time kBetweenSessions = std::chrono::milliseconds(300);
constexpr unsigned kStalePoints = 2;
// Where frames do get lost, waiting for an end that is merely slow costs more than asking twice.
constexpr Time kLeastWhereLost = std::chrono::milliseconds(25);
}  // namespace

Hello1 Core::my_hello1() const {
  Hello1 hello;
  hello.role = options_.role;
  if (options_.payload_check || line_.can_corrupt) hello.flags = kLineCanCorrupt;
  hello.bytes_per_second = line_.bytes_per_second;
  hello.incarnation = options_.incarnation;
  hello.nonce = options_.make_nonce();
  return hello;
}

Time Core::first_wait() const { return line_.nested ? kFirstWaitNested : kFirstWait; }
Time Core::longest_wait() const { return line_.nested ? kLongestWaitNested : kLongestWait; }

// The host calls and the guest answers; a guest's own HELLO1 only asks the host to call.
void Core::begin_hello(Time now) {
  mine_ = my_hello1();
  other_.reset();
  answered_ = false;
  attempting_ = true;
  send_hello2_ = send_hello3_ = false;
  hello_tries_ = 0;
  begun_at_ = now;
  hello_wait_ = first_wait();
  call_again(now);
}

void Core::call_again(Time now) {
  send_hello1_ = true;
  hello_deadline_ = now + hello_wait_;
}

void Core::on_link_up(Time now, LineTraits line) {
  line_ = line;
  link_ = true;
  incoming_.clear();
  partial_since_.reset();
  peek_due_ = false;
  trouble_ = Trouble::kNoAnswer;
  if (std::exchange(up_, false)) events_.on_session(false);
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
  const bool answers = guest && answered_ && ++hello_tries_ < kAnswers;
  if (guest && up_ && !answers) {  // The caller has not proved itself; the session stands.
    attempting_ = false;
    hello_deadline_.reset();
    return;
  }
  send_hello2_ |= answers;  // one may wait for the line, to a call that has just come
  send_hello1_ = !send_hello2_;
  hello_wait_ = std::min(hello_wait_ * 2, longest_wait());
  hello_deadline_ = now + hello_wait_;
}

void Core::on_hello1(std::span<const std::byte> payload, Time now) {
  const auto hello = decode_hello1(payload);
  if (!hello) {
    if (is_foreign_hello1(payload)) trouble_ = Trouble::kForeignVersion;
    return;
  }
  if (hello->role == options_.role) {
    trouble_ = Trouble::kSameRole;
    return;
  }
  if (options_.role == Role::kGuest) return answer(*hello, now);
  if (!attempting_) {
    const Time late = std::max(kBetweenSessions, 2 * hello_took_);
    if (!up_ || now >= established_at_ + late) begin_hello(now);
  } else if (now >= called_at_ + kBetweenCalls) {
    call_again(now);  // the guest has only now come to listen
  }
}

void Core::answer(const Hello1& host, Time now) {
  // A late copy of the one that led here must not lead anywhere again.
  if (up_ && established_ == host.nonce) return;
  const bool repeated =
      other_ && other_->nonce == host.nonce && other_->incarnation == host.incarnation;
  // The answer is repeated in its own time: one for each call would be the end of a slow line.
  if (repeated && hello_deadline_ && hello_tries_ < kAnswers) return;
  if (!repeated) {
    other_ = host;
    mine_ = my_hello1();
    answered_ = true;
    hello_tries_ = 0;
    begun_at_ = now;
    hello_wait_ = first_wait();
  }
  hello_deadline_ = now + (repeated ? longest_wait() : hello_wait_);
  send_hello2_ = true;
  send_hello1_ = false;
  attempting_ = true;
}

HelloProof Core::my_statement() const {
  HelloProof statement;
  statement.hello = mine_;
  statement.session = session_;
  statement.expected = reorder_.expected();
  return statement;
}

bool Core::same_session(const HelloProof& message, uint64_t peer) const {
  return session_ != 0 && message.session == session_ && peer == peer_;
}

void Core::on_hello2(std::span<const std::byte> payload, Time now) {
  if (options_.role != Role::kHost) return;
  const auto message = decode_proof(payload);
  if (!message || message->hello.role != Role::kGuest) return;
  if (!check_proof(payload, 2, options_.key, mine_, message->hello)) {
    // In a session it may well be an answer to an earlier call.
    trouble_ = Trouble::kWrongProof;
    return;
  }
  const Hello1 guest = message->hello;
  if (!attempting_) {
    // Either it has not got our HELLO3, or it has been born anew since.
    const bool known = other_ && other_->nonce == guest.nonce;
    if (!known) return begin_hello(now);
    send_hello3_ = up_ && !hello3_.empty();
    return;
  }
  bool resume = same_session(*message, guest.incarnation);
  if (resume && !flight_.possible(message->expected)) {
    // An acknowledgement may have overtaken it: ask again. A guest that insists was set back to an
    // earlier state.
    if (up_ && ++stale_points_ <= kStalePoints) return begin_hello(now);
    resume = false;
  }
  HelloProof answer = my_statement();
  answer.resume = resume;
  hello3_ = encode(answer, 3, options_.key, mine_, guest);
  send_hello3_ = true;
  other_ = guest;
  establish(mine_, guest, *message, resume, now);
}

void Core::on_hello3(std::span<const std::byte> payload, Time now) {
  if (options_.role != Role::kGuest || !other_ || !answered_) return;
  const auto message = decode_proof(payload);
  if (!message) return;
  if (!check_proof(payload, 3, options_.key, *other_, mine_)) {
    trouble_ = Trouble::kWrongProof;
    return;
  }
  const Hello1 host = *other_;
  // A resume point that we never had: start anew.
  const bool resume = message->resume;
  if (resume &&
      !(same_session(*message, host.incarnation) && flight_.possible(message->expected))) {
    return break_session(now);
  }
  established_ = host.nonce;
  establish(host, mine_, *message, resume, now);
}

void Core::establish(const Hello1& host, const Hello1& guest, const HelloProof& message,
                     bool resume, Time now) {
  const bool is_host = options_.role == Role::kHost;
  out_secret_ = frame_secret(options_.key, options_.role, host, guest);
  in_secret_ = frame_secret(options_.key, is_host ? Role::kGuest : Role::kHost, host, guest);
  ++establishments_;
  established_at_ = heard_or_asked_ = now;
  hello_took_ = now - begun_at_;
  attempting_ = answered_ = false;
  send_hello1_ = send_hello2_ = false;
  hello_deadline_.reset();
  stale_points_ = 0;
  agree_on_line(host, guest);
  if (resume) {
    flight_.resume(message.expected);
  } else {
    forget_session();
    session_ = session_id(options_.key, host, guest);
    peer_ = is_host ? guest.incarnation : host.incarnation;
  }
  unanswered_ = 0;
  ack_due_ = true;
  if (!std::exchange(up_, true)) events_.on_session(true);
}

// One end may see a UART where the other sees a socket: what either knows holds for both.
void Core::agree_on_line(const Hello1& host, const Hello1& guest) {
  const bool check = ((host.flags | guest.flags) & kLineCanCorrupt) != 0;
  if (check != check_) frame_limit_ = check ? kFirstCheckedPayload : kUsualPayload;
  check_ = check;
  rate_ = std::min(host.bytes_per_second, guest.bytes_per_second);
  if (rate_ == 0) rate_ = std::max(host.bytes_per_second, guest.bytes_per_second);
  const Time least = options_.least_retransmission_time;
  flight_.set_line(check ? std::min(kLeastWhereLost, least) : least, rate_, line_.nested);
}

void Core::forget_session() {
  peer_ = session_ = 0;
  flight_.clear();
  reorder_.clear();
  farewells_.clear();
  // A connection that was asked for and never answered has lost nothing: it goes to the new peer.
  std::vector<ConnectionId> lost;
  for (auto& [id, stream] : streams_) {
    if (stream.state != State::kOpening) {
      lost.push_back(id);
    } else {
      stream.send_open = true;
      control_.push(stream);
    }
  }
  for (const ConnectionId id : lost) {
    if (Stream* stream = find(id)) end(*stream, Reason::kPeerRestarted);
  }
}

// There is no going on with this peer's session: away with it, and a new HELLO.
void Core::break_session(Time now) {
  in_secret_.reset();
  established_.reset();
  const bool was_up = std::exchange(up_, false);
  forget_session();
  if (was_up) events_.on_session(false);
  begin_hello(now);
}

size_t Core::emit_hello(Time now) {
  FrameHeader header;
  header.flags = kPayloadChecked;
  if (std::exchange(send_hello3_, false)) {
    header.type = FrameType::kHello3;
    return encode_frame(header, hello3_, 0, small_.data());
  }
  if (std::exchange(send_hello2_, false) && other_) {
    header.type = FrameType::kHello2;
    return encode_frame(header, encode(my_statement(), 2, options_.key, *other_, mine_), 0,
                        small_.data());
  }
  if (std::exchange(send_hello1_, false)) {
    header.type = FrameType::kHello1;
    called_at_ = now;
    return encode_frame(header, encode(mine_), 0, small_.data());
  }
  return 0;
}

}  // namespace serial_transport
