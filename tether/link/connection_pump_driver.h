// Moves bytes between a connection and the state machine that serves it.
#pragma once

#include <boost/asio/awaitable.hpp>
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
  virtual std::string take_output() = 0;
  virtual Ending ending() const = 0;
};

// Owns the peer; kept alive by its two tasks, which end with the connection. Whatever goes wrong
// here ends this connection and nothing else.
class ConnectionPump : public std::enable_shared_from_this<ConnectionPump> {
 public:
  explicit ConnectionPump(std::shared_ptr<serial_transport::Connection> connection);
  void start(std::unique_ptr<Peer> peer);
  // The peer's state changed: look again.
  void wake();

 private:
  static boost::asio::awaitable<void> read_task(std::shared_ptr<ConnectionPump> self);
  static boost::asio::awaitable<void> write_task(std::shared_ptr<ConnectionPump> self);
  static boost::asio::awaitable<void> write_all(std::shared_ptr<ConnectionPump> self,
                                                std::string bytes);
  static boost::asio::awaitable<void> linger(std::shared_ptr<ConnectionPump> self);
  void on_eof();
  void finish();
  void stop();

  std::shared_ptr<serial_transport::Connection> connection_;
  std::unique_ptr<Peer> peer_;  // null once finished
  boost::asio::steady_timer read_wake_;
  boost::asio::steady_timer write_wake_;
  bool eof_ = false;  // the client has closed its side
  bool gone_ = false;
};

}  // namespace tether
