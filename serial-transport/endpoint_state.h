// Behind Endpoint: the core, the descriptor, and the table of connections. Kept alive by pending
// operations.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "serial-transport/core.h"
#include "serial-transport/endpoint.h"
#include "serial-transport/link_keeper.h"

namespace serial_transport {

class EndpointState : public CoreEvents, public std::enable_shared_from_this<EndpointState> {
 public:
  using ConnectHandler = detail::Handler<ErrorCode, std::shared_ptr<Connection>>;

  EndpointState(asio::any_io_executor executor, const EndpointOptions& options,
                std::vector<LinkOpener> openers);

  void start();
  void reopen();
  void close();
  std::string hand_over(const std::vector<std::shared_ptr<Connection>>& kept);
  std::optional<std::vector<std::shared_ptr<Connection>>> take_over(std::string_view state);
  void cancel_connects();
  void connect(std::string service, TrafficClass traffic, ConnectHandler handler);
  // Something to send may have come up: look, at the end of this turn of the loop.
  void poke();
  // The same, without waiting for that.
  void send_now();
  std::string trouble() const;
  Core& core() { return core_; }
  const asio::any_io_executor& executor() const { return executor_; }
  // complete_read() once the core has seen all the bytes that there are.
  void complete_later(std::shared_ptr<Connection> connection);
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
  // While the link is read, or time has passed: who pokes then is served at its end.
  class Turn {
   public:
    explicit Turn(EndpointState& state) : state_(state) { state_.in_turn_ = true; }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

   private:
    EndpointState& state_;
  };
  using Descriptor = asio::posix::stream_descriptor;
  void use(Link link);
  void stop();
  void drop_link();
  void lose_link();
  void wait_readable();
  void on_readable();
  void on_tick();
  void complete_reads();
  void cancel_connect(ConnectionId id);
  void send();
  bool next_output();
  Descriptor& out_link() { return split_ ? out_link_ : link_; }
  ssize_t write_some(std::span<const std::byte> bytes);
  void write_later();
  void hold(Time wait);
  void arm_timer();
  std::shared_ptr<Connection> find(ConnectionId id);

  asio::any_io_executor executor_;
  Core core_;
  const uint32_t bytes_per_second_;
  std::shared_ptr<LinkKeeper> keeper_;
  Descriptor link_, out_link_;  // out_link_: when it is another than for reading
  asio::steady_timer tick_, hold_;
  std::optional<Time> tick_at_;
  uint64_t generation_ = 0;  // of the link: completions of an older one are ignored
  bool closed_ = false, poked_ = false, write_waiting_ = false, holding_ = false;
  bool in_turn_ = false, poked_in_turn_ = false;
  bool split_ = false, socket_ = false;
  std::vector<std::byte> in_;
  std::span<const std::byte> out_;  // the core's, and given to the link from its beginning
  std::map<ConnectionId, std::weak_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> reading_;  // to be completed in this turn
  struct Pending {
    std::string service;
    ConnectHandler handler;
  };
  std::map<ConnectionId, Pending> pending_;
};

}  // namespace serial_transport
