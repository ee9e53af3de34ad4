// The thin part: moves bytes between descriptor and core, and core's events to connections.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/io.h"
#include "serial-transport/endpoint_state.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

constexpr size_t kChunk = 32 * 1024;  // what a virtio-serial port takes at once
constexpr auto kShortestRetry = 10ms;
constexpr auto kLongestRetry = 1000ms;
constexpr auto kLongestHangUp = 100ms;  // between looks at a link that is there, without a peer
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
                             LinkOpener opener)
    : executor_(std::move(executor)),
      core_(core_options(options), *this),
      opener_(std::move(opener)),
      link_(executor_),
      retry_(executor_),
      tick_(executor_),
      in_(kChunk),
      out_(options.payload_check ? 2 * core_.largest_frame() : kChunk + core_.largest_frame()) {}

void EndpointState::start() { open_link(); }

void EndpointState::close() {
  if (closed_) return;
  core_.close();
  send();  // a last try for the resets; nothing waits for it
  closed_ = true;
  ++generation_;
  ErrorCode ignored;
  link_.close(ignored);
  retry_.cancel();
  tick_.cancel();
  listeners.clear();
  link_callback = nullptr;
}

void EndpointState::open_link() {
  auto opened = opener_();
  if (opened.has_error()) return retry_later(kLongestRetry);
  // Without a host end a virtio-serial port reports POLLIN and POLLHUP together: look at the latter
  // first, or spin.
  pollfd state{opened->get(), POLLIN, 0};
  if (::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
    return retry_later(kLongestHangUp);
  ErrorCode error;
  link_.assign(opened->get(), error);
  if (error) return retry_later(kLongestRetry);
  struct stat status {};
  link_is_socket_ = ::fstat(opened->get(), &status) == 0 && S_ISSOCK(status.st_mode);
  (void)opened->release();
  ++generation_;
  out_start_ = out_size_ = 0;
  write_waiting_ = false;
  core_.on_link_up(now());
  wait_readable();
  poke();
}

void EndpointState::lose_link() {
  ++generation_;
  ErrorCode ignored;
  link_.close(ignored);
  core_.on_link_down();
  if (!closed_) retry_later(kLongestHangUp);
}

void EndpointState::retry_later(std::chrono::milliseconds longest) {
  back_off_ = std::clamp<std::chrono::milliseconds>(back_off_ * 2, kShortestRetry, longest);
  retry_.expires_after(back_off_);
  retry_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error && !self->closed_) self->open_link();
  });
}

void EndpointState::wait_readable() {
  link_.async_wait(asio::posix::stream_descriptor::wait_read,
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
    if (generation != generation_ || closed_) return;
  }
  wait_readable();
}

void EndpointState::poke() {
  if (std::exchange(poked_, true) || closed_) return;
  asio::post(executor_, [self = shared_from_this()] {
    self->poked_ = false;
    self->send();
  });
}

void EndpointState::send() {
  if (closed_ || !link_.is_open()) return;
  while (!write_waiting_) {
    if (out_start_ == out_size_) {
      out_start_ = 0;
      out_size_ = core_.to_send(out_, now());
      if (out_size_ == 0) break;
    }
    const size_t size = std::min(out_size_ - out_start_, kChunk);
    const ssize_t n = write_some(out_.data() + out_start_, size);
    if (n > 0) {
      out_start_ += static_cast<size_t>(n);
    } else if (n == 0 || errno == EAGAIN) {
      write_later();
    } else if (errno != EINTR) {
      return lose_link();
    }
  }
  arm_timer();
}

// A socket whose other end has gone must not raise SIGPIPE in the user's process.
ssize_t EndpointState::write_some(const std::byte* bytes, size_t size) {
  if (link_is_socket_) return ::send(link_.native_handle(), bytes, size, MSG_NOSIGNAL);
  return ::write(link_.native_handle(), bytes, size);
}

void EndpointState::write_later() {
  write_waiting_ = true;
  link_.async_wait(asio::posix::stream_descriptor::wait_write,
                   [self = shared_from_this(), generation = generation_](ErrorCode error) {
                     if (generation != self->generation_) return;
                     self->write_waiting_ = false;
                     if (error) return self->lose_link();
                     self->send();
                   });
}

void EndpointState::arm_timer() {
  const auto deadline = core_.next_deadline();
  if (!deadline) {
    tick_.cancel();
    return;
  }
  tick_.expires_at(std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(*deadline)));
  tick_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (error || self->closed_) return;
    self->core_.on_tick(now());
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
  if (up) back_off_ = {};
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
