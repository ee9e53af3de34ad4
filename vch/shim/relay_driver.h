// One client of the shim, from its greeting to its end: a UNIX socket made one with a connection on
// the link.
#pragma once

#include <array>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serial-transport/endpoint.h"

namespace vch {

// Kept alive by its operations. Each direction has one buffer and reads no more until it is
// written: a client that does not read costs itself alone, up to its connection's credit.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  // Where a service is, when that is not always the same; the error's detail is told to the client.
  using Choose = std::function<common::Result<serial_transport::Endpoint*>(std::string_view)>;

  // `endpoint` outlives the relay's operations, as others do that `choose` gives. `on_gone` is
  // called once, at the end.
  Relay(Socket socket, serial_transport::Endpoint& endpoint,
        std::function<void(const std::shared_ptr<Relay>&)> on_gone);
  void start(Choose choose = {});
  // Whoever still waits for a connection of `endpoint` is told why there is none.
  void give_up(const serial_transport::Endpoint& endpoint, std::string_view reason);
  // The machine has ended: a client that waits is told so; a connection first delivers what came.
  void on_machine_end();

 private:
  using ErrorCode = boost::system::error_code;
  using ConnectionPtr = std::shared_ptr<serial_transport::Connection>;
  static constexpr size_t kBuffer = 64 * 1024;
  enum class Phase : uint8_t { kGreeting, kConnecting, kRelaying, kGone };

  void read_greeting();
  void on_greeting(size_t size);
  void connect();
  void on_connected(ErrorCode error, ConnectionPtr connection);
  void refuse(std::string_view reason);
  void watch_hang_up();
  void on_hang_up();
  // Up: from the client to the guest. Down: back.
  void read_up();
  void write_up(size_t from, size_t end);
  void end_up(bool in_order);
  void read_down();
  void write_down(size_t size);
  void end_down(bool in_order);
  void finish();
  void finish_if_done();

  Socket socket_;
  serial_transport::Endpoint* endpoint_;
  Choose choose_;
  std::function<void(const std::shared_ptr<Relay>&)> on_gone_;
  Phase phase_ = Phase::kGreeting;
  ConnectionPtr connection_;
  boost::asio::cancellation_signal cancel_connect_;
  boost::asio::steady_timer linger_;
  bool up_done_ = false, down_done_ = false;
  bool hung_up_ = false;  // the client has closed: nobody reads what comes down
  std::string greeting_;
  std::array<char, kBuffer> up_, down_;
};

}  // namespace vch
