// Behind Endpoint: the core, the descriptor, and the table of connections. Kept alive by pending
// operations.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "serial-transport/endpoint.h"

namespace serial_transport {

class EndpointState : public CoreEvents, public std::enable_shared_from_this<EndpointState> {
 public:
  using ConnectHandler = detail::Handler<ErrorCode, std::shared_ptr<Connection>>;

  EndpointState(asio::any_io_executor executor, const EndpointOptions& options, LinkOpener opener);

  void start();
  void close();
  void cancel_connects();
  void connect(std::string service, TrafficClass traffic, ConnectHandler handler);
  // Something to send may have come up: look, at the end of this turn of the loop.
  void poke();
  Core& core() { return core_; }
  const asio::any_io_executor& executor() const { return executor_; }
  void forget(ConnectionId id) { connections_.erase(id); }

  struct Listener {
    std::optional<TrafficClass> traffic;
    Endpoint::OnConnection callback;
  };
  std::map<std::string, Listener, std::less<>> listeners;
  std::function<void(bool)> link_callback;

  // CoreEvents
  void on_session(bool up) override;
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view service) override;
  void on_accepted(ConnectionId id) override;
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override;
  void on_writable(ConnectionId id) override;
  void on_fin(ConnectionId id) override;
  void on_done(ConnectionId id) override;
  void on_end(ConnectionId id, Reason reason) override;

 private:
  void open_link();
  void lose_link();
  void retry_later(std::chrono::milliseconds longest);
  void wait_readable();
  void on_readable();
  void cancel_connect(ConnectionId id);
  void send();
  ssize_t write_some(const std::byte* bytes, size_t size);
  void write_later();
  void arm_timer();
  std::shared_ptr<Connection> find(ConnectionId id);

  asio::any_io_executor executor_;
  Core core_;
  LinkOpener opener_;
  asio::posix::stream_descriptor link_;
  asio::steady_timer retry_;
  asio::steady_timer tick_;
  std::chrono::milliseconds back_off_{};
  uint64_t generation_ = 0;  // of the link: completions of an older one are ignored
  bool closed_ = false, poked_ = false, write_waiting_ = false, link_is_socket_ = false;
  std::vector<std::byte> in_, out_;
  size_t out_start_ = 0, out_size_ = 0;
  std::map<ConnectionId, std::weak_ptr<Connection>> connections_;
  struct Pending {
    std::string service;
    ConnectHandler handler;
  };
  std::map<ConnectionId, Pending> pending_;
};

}  // namespace serial_transport
