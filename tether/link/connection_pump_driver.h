// Moves bytes between a connection, or a socket, and the state machine that serves it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "serial-transport/connection.h"

namespace tether {

// One client of a service, whatever the service is. Destroyed when the client is gone.
class Peer {
 public:
  enum class Ending { kNone, kFinish, kReset };
  virtual ~Peer() = default;
  virtual void on_bytes(std::string_view bytes) = 0;
  virtual void on_eof() = 0;  // the client sends nothing more
  virtual bool wants_input() const = 0;
  virtual std::string take_output() { return {}; }
  // The same for who has much to say: replaces `bytes`, whose memory may serve again.
  virtual void fill_output(std::string& bytes) { bytes = take_output(); }
  virtual Ending ending() const = 0;
};

// A stream socket that looks like a connection.
class LocalConnection {
 public:
  explicit LocalConnection(boost::asio::local::stream_protocol::socket socket)
      : socket_(std::move(socket)) {}
  boost::asio::any_io_executor get_executor() { return socket_.get_executor(); }
  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }
  void shutdown_write();
  void reset();

 private:
  boost::asio::local::stream_protocol::socket socket_;
};

// Owns the peer; kept alive by its two tasks, which end with the connection. Whatever goes wrong
// here ends this connection and nothing else.
template <typename Stream>
class Pump : public std::enable_shared_from_this<Pump<Stream>> {
 public:
  explicit Pump(std::shared_ptr<Stream> connection);
  void start(std::unique_ptr<Peer> peer);
  // The peer's state changed: look again.
  void wake();

 private:
  static boost::asio::awaitable<void> read_task(std::shared_ptr<Pump> self);
  static boost::asio::awaitable<void> write_task(std::shared_ptr<Pump> self);
  static boost::asio::awaitable<void> write_all(std::shared_ptr<Pump> self,
                                                const std::string& bytes);
  static boost::asio::awaitable<void> linger(std::shared_ptr<Pump> self);
  void on_eof();
  void finish();
  void stop();

  std::shared_ptr<Stream> connection_;
  std::unique_ptr<Peer> peer_;  // null once finished
  boost::asio::steady_timer read_wake_;
  boost::asio::steady_timer write_wake_;
  bool eof_ = false;  // the client has closed its side
  bool gone_ = false;
};

using ConnectionPump = Pump<serial_transport::Connection>;
using LocalPump = Pump<LocalConnection>;

}  // namespace tether
