#include "tether/link/connection_pump_driver.h"

#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

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
      read_wake_(connection_->get_executor(), asio::steady_timer::time_point::max()),
      write_wake_(connection_->get_executor(), asio::steady_timer::time_point::max()) {}

template <typename Stream>
void Pump<Stream>::start(std::unique_ptr<Peer> peer) {
  peer_ = std::move(peer);
  const auto executor = connection_->get_executor();
  const auto on_escape = [self = this->shared_from_this()] { self->stop(); };
  spawn_task(executor, "reading a connection", read_task(this->shared_from_this()), on_escape);
  spawn_task(executor, "writing a connection", write_task(this->shared_from_this()), on_escape);
}

// The timers never expire: cancelling one is how its task is woken.
template <typename Stream>
void Pump<Stream>::wake() {
  read_wake_.cancel();
  write_wake_.cancel();
}

// Behind the last byte. The connection stays until the client closes its side too.
template <typename Stream>
void Pump<Stream>::finish() {
  connection_->shutdown_write();
  peer_.reset();
  wake();
}

template <typename Stream>
void Pump<Stream>::on_eof() {
  eof_ = true;
  if (peer_) peer_->on_eof();
  wake();
}

template <typename Stream>
void Pump<Stream>::stop() {
  if (std::exchange(gone_, true)) return;
  connection_->reset();
  peer_.reset();
  wake();
}

template <typename Stream>
asio::awaitable<void> Pump<Stream>::read_task(std::shared_ptr<Pump> self) {
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  std::array<char, kReadSize> in;
  while (!self->gone_) {
    if (self->peer_ && !self->peer_->wants_input()) {
      co_await self->read_wake_.async_wait(token);
      continue;
    }
    const auto buffer = asio::buffer(in);
    const size_t size = co_await self->connection_->async_read_some(buffer, token);
    if (error == asio::error::eof) {
      self->on_eof();
      co_return;
    }
    if (error) {
      self->stop();
      co_return;
    }
    if (!self->peer_) continue;  // finished: what still comes is of no interest
    self->peer_->on_bytes({in.data(), size});
    self->wake();
  }
}

template <typename Stream>
asio::awaitable<void> Pump<Stream>::write_all(std::shared_ptr<Pump> self,
                                              const std::string& bytes) {
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  for (size_t done = 0; done < bytes.size() && !self->gone_;) {
    const auto buffer = asio::buffer(bytes) + done;
    done += co_await self->connection_->async_write_some(buffer, token);
    if (error) self->stop();
  }
}

// Until the client has finished too: what was written still arrives when the connection is let go.
template <typename Stream>
asio::awaitable<void> Pump<Stream>::linger(std::shared_ptr<Pump> self) {
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  while (!self->eof_ && !self->gone_) co_await self->write_wake_.async_wait(token);
}

template <typename Stream>
asio::awaitable<void> Pump<Stream>::write_task(std::shared_ptr<Pump> self) {
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  std::string bytes;
  while (!self->gone_) {
    self->peer_->fill_output(bytes);
    if (self->peer_->ending() == Peer::Ending::kReset) {
      self->stop();
    } else if (!bytes.empty()) {
      self->read_wake_.cancel();  // there may be room for requests again
      co_await write_all(self, bytes);
    } else if (self->peer_->ending() == Peer::Ending::kFinish) {
      self->finish();
      break;
    } else {
      co_await self->write_wake_.async_wait(token);
    }
  }
  co_await linger(std::move(self));
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
