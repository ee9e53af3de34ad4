// The thin part: moves bytes between descriptor and core, and core's events to connections.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "serial-transport/endpoint_state.h"
#include "serial-transport/line.h"

namespace serial_transport {
namespace {

constexpr size_t kChunk = 32 * 1024;  // what a virtio-serial port takes at once
constexpr int kReadsPerTurn = 8;

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
      in_(kChunk) {}

void EndpointState::start() { keeper_->start(); }

void EndpointState::close() {
  if (closed_) return;
  core_.close();
  send();  // a last try for the resets; nothing waits for it
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

void EndpointState::on_readable() {
  const uint64_t generation = generation_;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t n = ::read(link_.native_handle(), in_.data(), in_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return lose_link();
    core_.on_bytes(std::span(in_).first(static_cast<size_t>(n)), now());
    send();
    if (generation != generation_) return;
  }
  wait_readable();
}

void EndpointState::poke() {
  if (closed_ || std::exchange(poked_, true)) return;
  asio::post(executor_, [self = shared_from_this()] {
    self->poked_ = false;
    self->send();
  });
}

void EndpointState::send() {
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
    if (error || self->closed_) return;
    self->tick_at_.reset();
    self->core_.on_tick(now());
    if (!self->core_.session_up() || self->core_.silent()) self->keeper_->review();
    self->send();
  });
}

void EndpointState::connect(std::string service, TrafficClass traffic, ConnectHandler handler) {
  const auto id = closed_ ? std::nullopt : core_.open(service, traffic);
  if (!id) return handler.post(closed_ ? Reason::kClosed : Reason::kTooMany, nullptr);
  handler.on_cancel([weak = weak_from_this(), id = *id] {
    if (const auto self = weak.lock()) self->cancel_connect(id);
  });
  pending_.insert_or_assign(*id, Pending{std::move(service), std::move(handler)});
  poke();
}

void EndpointState::cancel_connect(ConnectionId id) {
  const auto it = pending_.find(id);
  if (it == pending_.end()) return;
  auto handler = std::move(it->second.handler);
  pending_.erase(it);
  core_.reset(id, Reason::kApplication);
  handler.post(asio::error::operation_aborted, nullptr);
  poke();
}

void EndpointState::cancel_connects() {
  while (!pending_.empty()) cancel_connect(pending_.begin()->first);
}

std::shared_ptr<Connection> EndpointState::find(ConnectionId id) {
  const auto it = connections_.find(id);
  return it == connections_.end() ? nullptr : it->second.lock();
}

void EndpointState::on_session(bool up) {
  if (up) keeper_->proved();
  if (!link_callback) return;
  asio::post(executor_, [self = shared_from_this(), up] {
    if (self->link_callback) self->link_callback(up);
  });
}

void EndpointState::on_open(ConnectionId id, TrafficClass traffic, std::string_view service) {
  const auto listener = listeners.find(service);
  if (listener == listeners.end()) return core_.refuse(id, Reason::kNoSuchService);
  core_.accept(id, listener->second.traffic.value_or(traffic));
  auto connection = std::make_shared<Connection>(shared_from_this(), id, std::string(service));
  connections_[id] = connection;
  asio::post(executor_,
             [callback = listener->second.callback, connection] { callback(connection); });
}

void EndpointState::on_accepted(ConnectionId id) {
  const auto it = pending_.find(id);
  if (it == pending_.end()) return;
  auto connection =
      std::make_shared<Connection>(shared_from_this(), id, std::move(it->second.service));
  connections_[id] = connection;
  auto handler = std::move(it->second.handler);
  pending_.erase(it);
  handler.post({}, connection);
}

void EndpointState::on_data(ConnectionId id, std::span<const std::byte> bytes) {
  if (const auto connection = find(id)) connection->on_data(bytes);
}

void EndpointState::on_writable(ConnectionId id) {
  if (const auto connection = find(id)) connection->try_write();
}

void EndpointState::on_fin(ConnectionId id) {
  if (const auto connection = find(id)) connection->on_fin();
}

void EndpointState::on_done(ConnectionId id) {
  const auto connection = find(id);
  connections_.erase(id);
  if (connection) connection->on_end(asio::error::eof);
}

void EndpointState::on_end(ConnectionId id, Reason reason) {
  if (const auto it = pending_.find(id); it != pending_.end()) {
    auto handler = std::move(it->second.handler);
    pending_.erase(it);
    handler.post(reason, nullptr);
  }
  const auto connection = find(id);
  connections_.erase(id);
  if (connection) connection->on_end(reason);
}

}  // namespace serial_transport
