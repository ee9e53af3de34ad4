// The shim's loop: the link, who comes in, and when the machine has ended.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <set>

#include "common/result.h"
#include "common/unique_fd.h"
#include "serial-transport/endpoint.h"
#include "vch/machine/container_store.h"
#include "vch/machine/life.h"
#include "vch/shim/clean_end.h"
#include "vch/shim/clock_setter.h"
#include "vch/shim/log_keeper.h"
#include "vch/shim/relay_driver.h"
#include "vch/shim/secure_link_driver.h"

namespace vch {

class Shim {
 public:
  struct Options {
    Container container;  // its directory alone
    common::UniqueFd directory;
    serial_transport::EndpointOptions endpoint;
    unsigned vsock_port = 0;                // 0: the link is link_pipe.h
    bool journal = false;                   // the guest writes one
    bool tcp = false;                       // the link is link_tcp.h
    std::optional<SecureLinkKeys> secure;   // of a secure link
    std::chrono::milliseconds patience{0};  // with a machine that is to end
    common::UniqueFd listener;
  };

  // `signals`: those of shim.h; it outlives the loop.
  Shim(boost::asio::io_context& io, boost::asio::signal_set& signals, Options options)
      : directory_(std::move(options.directory)),
        container_(std::move(options.container)),
        vsock_port_(options.vsock_port),
        journal_(options.journal),
        tcp_(options.tcp),
        io_(io),
        listener_(io, boost::asio::local::stream_protocol(), options.listener.release()),
        retry_accept_(io),
        look_(io),
        drain_(io),
        signals_(signals),
        clean_end_(io, container_, options.patience, [this] { look_at_machine(); }),
        endpoint_(io.get_executor(), options.endpoint, [this] { return open_link(); }) {
    if (options.secure) secure_link(options.endpoint, std::move(*options.secure));
  }

  void run();
  bool machine_ended() const { return ended_; }  // else run() was ended by kMakeWay

 private:
  static constexpr std::chrono::milliseconds kFirstLook{1};  // see look_at_machine()

  void await_signal();
  void secure_link(const serial_transport::EndpointOptions& endpoint, SecureLinkKeys keys);
  common::Result<serial_transport::Link> open_link();
  common::Result<serial_transport::Link> open_line();
  common::Result<serial_transport::Link> dial() const;
  common::Result<serial_transport::Endpoint*> endpoint_of(std::string_view service);
  bool guest_runs(const Life& life) const;
  void accept();
  void admit(Relay::Socket socket);
  void set_clock();
  void look_at_machine();
  void on_machine_end();

  common::UniqueFd directory_;
  const Container container_;
  const unsigned vsock_port_;
  const bool journal_;
  const bool tcp_;
  boost::asio::io_context& io_;
  boost::asio::local::stream_protocol::acceptor listener_;
  boost::asio::steady_timer retry_accept_;
  boost::asio::steady_timer look_;
  std::chrono::milliseconds look_wait_ = kFirstLook;
  bool looking_ = false, ended_ = false;
  boost::asio::steady_timer drain_;
  boost::asio::signal_set& signals_;
  CleanEnd clean_end_;
  serial_transport::Endpoint endpoint_;  // its link is the line, or what secure_ makes of that
  std::unique_ptr<SecureLink> secure_;
  std::weak_ptr<ClockSetter> clock_;
  LogKeeper logs_{io_, container_};
  std::set<std::shared_ptr<Relay>> relays_;
};

}  // namespace vch
