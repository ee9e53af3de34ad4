#include "tether/link/connection_pump_driver.h"

#include <sys/socket.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "common/scope_guard.h"
#include "tether/link/spawn_task.h"

namespace tether {
namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

namespace {
constexpr size_t kReadSize = 64 * 1024;
}  // namespace

template <typename Stream>
Pump<Stream>::Pump(std::shared_ptr<Stream> connection)
    : connection_(std::move(connection)),
      in_(std::make_unique_for_overwrite<char[]>(kReadSize)),
      living_(connection_->get_executor(), asio::steady_timer::time_point::max()) {}

template <typename Stream>
void Pump<Stream>::start(std::unique_ptr<Peer> peer) {
  peer_ = std::move(peer);
  living_.async_wait([self = this->shared_from_this()](ErrorCode) {});
  wake();
}

// Whoever calls is not prepared to be called.
template <typename Stream>
void Pump<Stream>::wake() {
  if (in_turn_) woken_in_turn_ = true;
  if (in_turn_ || gone_ || std::exchange(woken_, true)) return;
  asio::post(connection_->get_executor(), [self = this->shared_from_this()] {
    self->woken_ = false;
    self->turn([] {});
  });
}

template <typename Stream>
template <typename Work>
void Pump<Stream>::turn(Work work) {
  if (gone_) return;
  in_turn_ = true;
  const common::ScopeGuard end([this] { in_turn_ = false; });
  try {
    work();
    do {
      woken_in_turn_ = false;
      write();
      read();
    } while (woken_in_turn_ && !gone_);
  } catch (...) {
    report_exception("a connection", std::current_exception());
    stop();
  }
}

template <typename Stream>
void Pump<Stream>::read() {
  if (reading_ || gone_ || eof_ || (peer_ && !peer_->wants_input())) return;
  reading_ = true;
  connection_->async_read_some(asio::buffer(in_.get(), kReadSize),
                               [self = this->shared_from_this()](ErrorCode error, size_t size) {
                                 self->reading_ = false;
                                 self->turn([&] { self->on_read(error, size); });
                               });
}

template <typename Stream>
void Pump<Stream>::on_read(const ErrorCode& error, size_t size) {
  if (error && error != asio::error::eof) return stop();
  if (error) {
    eof_ = true;
    if (!peer_) return end();  // finished
    peer_->on_eof();
  } else if (peer_) {  // or it is finished, and what still comes is of no interest
    peer_->on_bytes({in_.get(), size});
  }
}

template <typename Stream>
void Pump<Stream>::write() {
  while (!gone_ && !writing_ && peer_) {
    if (written_ == out_.size() && !refill()) return;
    const auto rest = std::as_bytes(std::span(out_).subspan(written_));
    const size_t size = connection_->write_now(rest);
    written_ += size;
    if (size == 0) return write_later();
  }
}

template <typename Stream>
void Pump<Stream>::write_later() {
  writing_ = true;
  connection_->async_write_some(asio::buffer(out_) + written_,
                                [self = this->shared_from_this()](ErrorCode error, size_t size) {
                                  self->writing_ = false;
                                  self->written_ += size;
                                  self->turn([&] {
                                    if (error) self->stop();
                                  });
                                });
}

// False: there is nothing to write.
template <typename Stream>
bool Pump<Stream>::refill() {
  out_.clear();
  written_ = 0;
  peer_->fill_output(out_);
  const auto ending = peer_->ending();
  if (ending == Peer::Ending::kReset) {
    stop();
  } else if (out_.empty() && ending == Peer::Ending::kFinish) {
    finish();
  }
  return !gone_ && !out_.empty();
}

// Behind the last byte. The connection stays until the client closes its side too: what was written
// still arrives when it is let go then.
template <typename Stream>
void Pump<Stream>::finish() {
  connection_->shutdown_write();
  peer_.reset();
  if (eof_) end();
}

template <typename Stream>
void Pump<Stream>::stop() {
  if (gone_) return;
  connection_->reset();
  peer_.reset();
  end();
}

template <typename Stream>
void Pump<Stream>::end() {
  gone_ = true;
  living_.cancel();
}

size_t LocalConnection::write_now(std::span<const std::byte> bytes) {
  const ssize_t size =
      ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

void LocalConnection::shutdown_write() {
  ErrorCode ignored;
  socket_.shutdown(socket_.shutdown_send, ignored);
}

void LocalConnection::reset() {
  ErrorCode ignored;
  socket_.close(ignored);
}

template class Pump<serial_transport::Connection>;
template class Pump<LocalConnection>;

}  // namespace tether
