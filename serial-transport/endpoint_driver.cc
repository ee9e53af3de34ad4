// The thin part: moves bytes between descriptor and core.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "common/scope_guard.h"
#include "serial-transport/endpoint_state.h"
#include "serial-transport/line.h"

namespace serial_transport {
namespace {

constexpr size_t kChunk = 32 * 1024;  // what a virtio-serial port takes at once
constexpr int kReadsPerTurn = 4;

// A virtio-serial port gives a page at a time: what has arrived is gathered before it is looked at,
// so that frames mostly lie in one piece.
constexpr size_t kReadBuffer = 64 * 1024;
// Who gives less has no more, most likely: waiting for it tells, at the cost of one call.
constexpr ssize_t kMuch = 2048;
struct LinkRead {
  enum class State { kMore, kDrained, kLost } state = State::kMore;
  size_t size = 0;
};
LinkRead read_link(int fd, std::span<std::byte> into) {
  LinkRead result;
  while (result.size < into.size()) {
    const ssize_t n = ::read(fd, into.data() + result.size, into.size() - result.size);
    if (n > 0) {
      result.size += static_cast<size_t>(n);
      if (n >= kMuch) continue;
      result.state = LinkRead::State::kDrained;
      break;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else {
      result.state = n < 0 && errno == EAGAIN ? LinkRead::State::kDrained : LinkRead::State::kLost;
      break;
    }
  }
  return result;
}

Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

CoreOptions core_options(const EndpointOptions& options) {
  CoreOptions core;
  core.role = options.role;
  core.key = options.key;
  core.payload_check = options.payload_check;
  core.window = options.window;
  core.send_buffer = options.send_buffer;
  core.max_connections = options.max_connections;
  core.make_nonce = [] {
    Nonce nonce{};
    (void)common::fill_random(nonce);
    return nonce;
  };
  (void)common::fill_random(std::as_writable_bytes(std::span(&core.incarnation, 1)));
  core.incarnation |= 1;
  return core;
}

}  // namespace

EndpointState::EndpointState(asio::any_io_executor executor, const EndpointOptions& options,
                             std::vector<LinkOpener> openers)
    : executor_(std::move(executor)),
      core_(core_options(options), *this),
      bytes_per_second_(options.bytes_per_second),
      keeper_(std::make_shared<LinkKeeper>(executor_, std::move(openers),
                                           [this](Link link) { use(std::move(link)); })),
      link_(executor_),
      out_link_(executor_),
      tick_(executor_),
      hold_(executor_),
      in_(kReadBuffer) {}

void EndpointState::start() { keeper_->start(); }

void EndpointState::reopen() {
  if (closed_) return;
  if (link_.is_open()) drop_link();
  keeper_->reopen();
}

void EndpointState::close() {
  if (closed_) return;
  core_.close();
  send();  // a last try for the resets; nothing waits for it
  stop();
}

void EndpointState::stop() {
  closed_ = true;
  drop_link();
  keeper_->close();
  tick_.cancel();
  listeners.clear();
  link_callback = nullptr;
}

void EndpointState::use(Link link) {
  if (link_.is_open()) drop_link();
  ErrorCode error;
  link_.assign(link.fd.get(), error);
  if (error) return lose_link();
  socket_ = is_socket(link.fd.release());
  split_ = static_cast<bool>(link.out_fd);
  if (split_) {
    out_link_.assign(link.out_fd.get(), error);
    if (error) return lose_link();
    socket_ = is_socket(link.out_fd.release());
  }
  ++generation_;
  if (link.traits.bytes_per_second == 0) link.traits.bytes_per_second = bytes_per_second_;
  core_.on_link_up(now(), link.traits);
  wait_readable();
  poke();
}

void EndpointState::drop_link() {
  ++generation_;
  ErrorCode ignored;
  link_.close(ignored);
  out_link_.close(ignored);
  hold_.cancel();
  out_ = {};
  write_waiting_ = holding_ = false;
  core_.on_link_down();
}

void EndpointState::lose_link() {
  drop_link();
  keeper_->lost();
}

std::string EndpointState::trouble() const {
  if (std::string text = keeper_->trouble(); !text.empty()) return text;
  switch (core_.trouble()) {
    case Trouble::kNone:
      return {};
    case Trouble::kWrongProof:
      return "the other end has another key";
    case Trouble::kForeignVersion:
      return "the other end speaks another version of the protocol";
    case Trouble::kSameRole:
      return core_.role() == Role::kHost ? "the other end is a host too"
                                         : "the other end is a guest too";
    case Trouble::kNoAnswer:
      break;
  }
  return "the other end does not answer";
}

void EndpointState::wait_readable() {
  link_.async_wait(Descriptor::wait_read,
                   [self = shared_from_this(), generation = generation_](ErrorCode error) {
                     if (generation != self->generation_) return;
                     if (error) return self->lose_link();
                     self->on_readable();
                   });
}

EndpointState::Turn::~Turn() {
  state_.in_turn_ = false;
  if (std::exchange(state_.poked_in_turn_, false) || !state_.reading_.empty()) state_.poke();
}

void EndpointState::on_readable() {
  const uint64_t generation = generation_;
  const Turn turn(*this);
  common::ScopeGuard again([this, generation] {  // whatever a reader throws
    if (generation == generation_) wait_readable();
  });
  LinkRead got;
  for (int i = 0; i < kReadsPerTurn && got.state == LinkRead::State::kMore; ++i) {
    got = read_link(link_.native_handle(), in_);
    if (got.size > 0) core_.on_bytes(std::span(in_).first(got.size), now());
    complete_reads();
    send();
    if (generation != generation_) return;
  }
  if (got.state == LinkRead::State::kLost) {
    again.dismiss();
    lose_link();
  }
}

void EndpointState::complete_later(std::shared_ptr<Connection> connection) {
  reading_.push_back(std::move(connection));
}

void EndpointState::complete_reads() {
  while (!reading_.empty()) {
    const auto connection = std::move(reading_.front());
    reading_.erase(reading_.begin());
    connection->complete_read();
  }
}

void EndpointState::poke() {
  if (closed_ || poked_) return;
  if (in_turn_) {
    poked_in_turn_ = true;
    return;
  }
  poked_ = true;
  asio::post(executor_, [self = shared_from_this()] {
    self->poked_ = false;
    self->complete_reads();
    self->send();
  });
}

void EndpointState::send_now() {
  if (in_turn_) return poke();
  send();
}

void EndpointState::send() {
  poked_in_turn_ = false;
  if (closed_ || !link_.is_open()) return;
  while (!write_waiting_ && (!out_.empty() || next_output())) {
    const ssize_t n = write_some(out_.first(std::min(out_.size(), kChunk)));
    if (n > 0) {
      out_ = out_.subspan(static_cast<size_t>(n));
    } else if (n == 0 || errno == EAGAIN) {
      write_later();
    } else if (errno != EINTR) {
      return lose_link();
    }
  }
  arm_timer();
}

bool EndpointState::next_output() {
  if (holding_) return false;
  const Time at = now();
  if (core_.bytes_per_second() > 0) {
    const Time wait = core_.hold(queued_bytes(out_link().native_handle()), at);
    if (wait > Time{0}) {
      hold(wait);
      return false;
    }
  }
  out_ = core_.output(at);
  return !out_.empty();
}

// A socket whose other end has gone must not raise SIGPIPE in the user's process.
ssize_t EndpointState::write_some(std::span<const std::byte> bytes) {
  const int fd = out_link().native_handle();
  if (socket_) return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return ::write(fd, bytes.data(), bytes.size());
}

void EndpointState::write_later() {
  write_waiting_ = true;
  out_link().async_wait(Descriptor::wait_write,
                        [self = shared_from_this(), generation = generation_](ErrorCode error) {
                          if (generation != self->generation_) return;
                          self->write_waiting_ = false;
                          if (error) return self->lose_link();
                          self->send();
                        });
}

void EndpointState::hold(Time wait) {
  holding_ = true;
  hold_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  hold_.async_wait([self = shared_from_this(), generation = generation_](ErrorCode error) {
    if (error || generation != self->generation_) return;
    self->holding_ = false;
    self->send();
  });
}

// A timer that would fire too early is left alone: it looks again then. Deadlines move away with
// every acknowledgement, and setting a timer costs more than that.
void EndpointState::arm_timer() {
  const auto deadline = core_.next_deadline();
  if (!deadline || (tick_at_ && *tick_at_ <= *deadline)) return;
  tick_at_ = deadline;
  tick_.expires_at(std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(*deadline)));
  tick_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error && !self->closed_) self->on_tick();
  });
}

void EndpointState::on_tick() {
  const Turn turn(*this);
  tick_at_.reset();
  core_.on_tick(now());
  complete_reads();
  if (!core_.session_up() || core_.silent()) keeper_->review();
  send();
}

}  // namespace serial_transport
