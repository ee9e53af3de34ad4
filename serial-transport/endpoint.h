// One end of a link. It opens the byte link, keeps it open, and gives out connections.
//
//   serial_transport::Endpoint endpoint(io.get_executor(), options, unix_socket_link("link.sock"));
//   endpoint.start();
//   auto connection = co_await endpoint.async_connect(
//       "stdio", TrafficClass::kInteractive, asio::use_awaitable);
//
// Single-threaded: everything runs on, and must be called from, the executor's one thread. The
// endpoint goes before its io_context does. Nothing blocks and nothing here throws; callbacks and
// completion handlers are posted, never called from within a call of the user's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "serial-transport/connection.h"
#include "serial-transport/link.h"

namespace serial_transport {

struct EndpointOptions {
  Role role = Role::kHost;
  Key key{};  // shared by both ends, never on the wire
  // For lines that can corrupt bytes, and slow ones. Terminals tell by themselves, and what one end
  // knows of the line the other learns: for a UART that the host sees as a socket nothing need be
  // set here.
  bool payload_check = false;
  uint32_t bytes_per_second = 0;     // 0: unknown, or so fast that it does not matter
  uint32_t window = 256 * 1024;      // receive credit of each connection, bytes
  uint32_t send_buffer = 64 * 1024;  // what writes may run ahead of the link, each connection
  size_t max_connections = 1024;
};

class Endpoint {
 public:
  Endpoint(asio::any_io_executor executor, EndpointOptions options, LinkOpener opener);
  // Several candidates in order of preference. The first that opens is used; one that brings no
  // session within a second is given up for the next that opens.
  Endpoint(asio::any_io_executor executor, EndpointOptions options,
           std::vector<LinkOpener> openers);
  ~Endpoint();  // close()
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // Opens the link now and for ever after, with back-off from 10 ms to 1 s, until close().
  void start();
  // Gives the byte link up and asks the openers at once: for whoever knows that there is another.
  void reopen();
  // Ends everything: connections with Reason::kClosed, pending connects too. The peer is told if
  // the link takes it at once.
  void close();

  // Ends here without a word to the peer, and gives what an endpoint of another process with the
  // same options and byte link needs to go on: these connections, on which nothing may be pending
  // any more. Empty: there is no session to go on with, and nothing has happened. What it gives
  // contains no key.
  std::string hand_over(const std::vector<std::shared_ptr<Connection>>& kept);
  // Before start(): goes on with what hand_over() gave, and gives the connections, with the numbers
  // that Connection::id() had there. Nothing: that makes no sense, and this endpoint is of no use.
  std::optional<std::vector<std::shared_ptr<Connection>>> take_over(std::string_view state);

  // Accepts connections to `service`; what this end sends goes in class `traffic`, or without one
  // in the class that the peer opened with. A service nobody listens to is refused with
  // kNoSuchService.
  using OnConnection = std::function<void(std::shared_ptr<Connection>)>;
  void listen(std::string service, TrafficClass traffic, OnConnection on_connection);
  void listen(std::string service, OnConnection on_connection);

  // Opens a connection: void(ErrorCode, std::shared_ptr<Connection>). Completes once the peer has
  // accepted or refused, or when there are max_connections. Waits for the link as long as it takes;
  // the operation's cancellation slot, cancel() or close() end that.
  template <typename Token>
  auto async_connect(std::string service, TrafficClass traffic, Token&& token) {
    return asio::async_initiate<Token, void(ErrorCode, std::shared_ptr<Connection>)>(
        [this](auto handler, std::string s, TrafficClass t) {
          begin_connect(std::move(s), t, ConnectHandler(std::move(handler), get_executor()));
        },
        token, std::move(service), traffic);
  }
  // Pending async_connects end with operation_aborted.
  void cancel();

  // True while the link is open and both ends have proved themselves on it.
  bool link_up() const;
  bool session_up() const { return link_up(); }
  // While the link is not up: why, as far as one can tell, in a few words. Else empty.
  std::string trouble() const;
  void on_link_change(std::function<void(bool up)> callback);

  asio::any_io_executor get_executor() const;

 private:
  using ConnectHandler = detail::Handler<ErrorCode, std::shared_ptr<Connection>>;
  void begin_connect(std::string service, TrafficClass traffic, ConnectHandler handler);
  std::shared_ptr<EndpointState> state_;
};

}  // namespace serial_transport
