// Moves bytes between a connection, or a socket, and the state machine that serves it.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <span>
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
  size_t write_now(std::span<const std::byte> bytes);
  void shutdown_write();
  void reset();

 private:
  boost::asio::local::stream_protocol::socket socket_;
};

// Owns the peer; keeps itself alive until both sides have finished or the connection is lost.
// Whatever goes wrong here ends this connection and nothing else.
//
// No coroutines: each message of a session comes by here, and a byte that is there is moved in the
// turn of the loop in which it came.
template <typename Stream>
class Pump : public std::enable_shared_from_this<Pump<Stream>> {
 public:
  explicit Pump(std::shared_ptr<Stream> connection);
  void start(std::unique_ptr<Peer> peer);
  // The peer's state changed: look again.
  void wake();

 private:
  // A turn of the loop that is this connection's: `work`, then all that can be moved.
  template <typename Work>
  void turn(Work work);
  void read();
  void on_read(const boost::system::error_code& error, size_t size);
  void write();
  void write_later();
  bool refill();
  void finish();
  void stop();
  void end();

  std::shared_ptr<Stream> connection_;
  std::unique_ptr<Peer> peer_;  // null once finished
  std::unique_ptr<char[]> in_;
  std::string out_;
  size_t written_ = 0;                // of out_
  boost::asio::steady_timer living_;  // never expires; its wait holds this object
  bool woken_ = false, in_turn_ = false, woken_in_turn_ = false;
  bool reading_ = false, writing_ = false;  // an operation is under way
  bool eof_ = false;                        // the client has closed its side
  bool gone_ = false;
};

using ConnectionPump = Pump<serial_transport::Connection>;
using LocalPump = Pump<LocalConnection>;

}  // namespace tether
