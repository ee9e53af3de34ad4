#include "vch/shim/relay_driver.h"

#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

#include "vch/shim/greeting.h"

namespace vch {

namespace asio = boost::asio;
using serial_transport::Connection;

namespace {
// How long the guest may take for the last words of a client that has gone.
constexpr std::chrono::seconds kLinger{10};
}  // namespace

Relay::Relay(Socket socket, serial_transport::Endpoint& endpoint,
             std::function<void(const std::shared_ptr<Relay>&)> on_gone)
    : socket_(std::move(socket)),
      endpoint_(&endpoint),
      on_gone_(std::move(on_gone)),
      linger_(socket_.get_executor()) {}

void Relay::start(Choose choose) {
  choose_ = std::move(choose);
  watch_hang_up();
  read_greeting();
}

void Relay::read_greeting() {
  const auto buffer = asio::buffer(up_.data(), kMaxGreeting);
  socket_.async_read_some(buffer, [self = shared_from_this()](ErrorCode error, size_t size) {
    if (self->phase_ == Phase::kGone) return;
    if (error) return self->finish();
    self->on_greeting(size);
  });
}

void Relay::on_greeting(size_t size) {
  greeting_.append(up_.data(), size);
  const size_t end = greeting_.find('\n');
  if (end == std::string::npos && greeting_.size() < kMaxGreeting) return read_greeting();
  if (end == std::string::npos) return refuse("greeting: too long");
  connect();
}

void Relay::connect() {
  const auto greeting = parse_greeting(std::string_view(greeting_).substr(0, greeting_.find('\n')));
  if (greeting.has_error()) return refuse("greeting: " + greeting.error().detail);
  if (choose_) {
    const auto chosen = choose_(greeting->service);
    if (chosen.has_error()) return refuse(chosen.error().detail);
    endpoint_ = *chosen;
  }
  phase_ = Phase::kConnecting;
  endpoint_->async_connect(
      greeting->service, greeting->traffic,
      asio::bind_cancellation_slot(
          cancel_connect_.slot(),
          [self = shared_from_this()](ErrorCode error, ConnectionPtr connection) {
            self->on_connected(error, std::move(connection));
          }));
}

void Relay::on_connected(ErrorCode error, ConnectionPtr connection) {
  if (phase_ == Phase::kGone) return;
  if (error) return refuse(error.message());
  phase_ = Phase::kRelaying;
  connection_ = std::move(connection);
  constexpr std::string_view kAccepted = "OK\n";
  std::copy(kAccepted.begin(), kAccepted.end(), down_.begin());
  write_down(kAccepted.size());
  // What the client sent ahead of our answer belongs to the service already.
  const std::string ahead = greeting_.substr(greeting_.find('\n') + 1);
  std::copy(ahead.begin(), ahead.end(), up_.begin());
  write_up(0, ahead.size());
}

// Nothing was sent before, so the socket has room for this line.
void Relay::refuse(std::string_view reason) {
  const std::string line = refusal_line(reason);
  (void)::send(socket_.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  finish();
}

void Relay::give_up(const serial_transport::Endpoint& endpoint, std::string_view reason) {
  if (phase_ == Phase::kConnecting && endpoint_ == &endpoint) refuse(reason);
}

void Relay::on_machine_end() {
  if (phase_ == Phase::kGreeting || phase_ == Phase::kConnecting) refuse(kMachineEnded);
}

// Completes when both directions of the socket are closed: a client that only half-closed still
// reads.
void Relay::watch_hang_up() {
  socket_.async_wait(Socket::wait_error, [self = shared_from_this()](ErrorCode error) {
    if (!error && self->phase_ != Phase::kGone) self->on_hang_up();
  });
}

void Relay::on_hang_up() {
  if (phase_ != Phase::kRelaying) return finish();
  hung_up_ = true;
  linger_.expires_after(kLinger);
  linger_.async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error && self->connection_) self->connection_->reset();
  });
  finish_if_done();
}

void Relay::read_up() {
  socket_.async_read_some(asio::buffer(up_),
                          [self = shared_from_this()](ErrorCode error, size_t size) {
                            if (self->phase_ == Phase::kGone) return;
                            if (error) return self->end_up(true);
                            self->write_up(0, size);
                          });
}

void Relay::write_up(size_t from, size_t end) {
  if (from == end) return read_up();
  const auto buffer = asio::buffer(up_.data() + from, end - from);
  connection_->async_write_some(
      buffer, [self = shared_from_this(), from, end](ErrorCode error, size_t size) {
        if (self->phase_ == Phase::kGone) return;
        if (error) return self->end_up(false);
        self->write_up(from + size, end);
      });
}

void Relay::end_up(bool in_order) {
  up_done_ = true;
  if (in_order) connection_->shutdown_write();
  finish_if_done();
}

void Relay::read_down() {
  connection_->async_read_some(asio::buffer(down_),
                               [self = shared_from_this()](ErrorCode error, size_t size) {
                                 if (self->phase_ == Phase::kGone) return;
                                 if (error) return self->end_down(error == asio::error::eof);
                                 if (self->hung_up_) return self->read_down();
                                 self->write_down(size);
                               });
}

void Relay::write_down(size_t size) {
  asio::async_write(socket_, asio::buffer(down_.data(), size),
                    [self = shared_from_this()](ErrorCode error, size_t) {
                      if (self->phase_ == Phase::kGone) return;
                      // Who cannot write to the client waits for the hang-up, which follows.
                      if (error) self->hung_up_ = true;
                      self->read_down();
                    });
}

void Relay::end_down(bool in_order) {
  down_done_ = true;
  if (!in_order) return finish();  // The connection is gone, in both directions.
  ErrorCode ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  finish_if_done();
}

void Relay::finish_if_done() {
  if (up_done_ && (down_done_ || hung_up_)) finish();
}

void Relay::finish() {
  if (std::exchange(phase_, Phase::kGone) == Phase::kGone) return;
  ErrorCode ignored;
  socket_.close(ignored);
  linger_.cancel();
  cancel_connect_.emit(asio::cancellation_type::terminal);
  if (connection_) connection_->cancel();
  connection_.reset();
  on_gone_(shared_from_this());
}

}  // namespace vch
