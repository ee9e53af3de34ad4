// What the link process consists of. Its clients keep it; LinkProcess closes it when it goes.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"
#include "serial-transport/endpoint.h"
#include "tether/link/clock_server.h"
#include "tether/link/connection_pump_driver.h"
#include "tether/link/control_server.h"
#include "tether/link/link_hand_over.h"
#include "tether/link/link_process_driver.h"
#include "tether/link/login_sessions.h"
#include "tether/link/session_table.h"
#include "tether/link/ssh_server_driver.h"
#include "tether/link/stdio_server.h"
#include "tether/link/supervisor_channel_driver.h"

namespace tether {

class LinkState : public std::enable_shared_from_this<LinkState> {
 public:
  LinkState(const boost::asio::any_io_executor& executor, LinkProcess::Options options);

  void start(std::function<void()> on_supervisor_gone);
  void close();
  // After anything that may have put input in flight.
  void arm();
  StdioServer& stdio() { return stdio_; }
  ControlServer& control() { return control_; }
  ClockServer& clock() { return clock_; }

 private:
  // link_process_driver.cc
  void on_message(const LinkHeader& header, std::string_view payload,
                  std::span<common::UniqueFd> fds);
  void refuse_plain(const char* service);
  void serve_link(common::UniqueFd fd);
  common::Result<serial_transport::Link> take_link();
  void hand_over();
  // link_services_driver.cc
  void listen(serial_transport::Endpoint& endpoint);
  template <typename Stream>
  void accept_stdio(std::shared_ptr<Stream> connection,
                    std::shared_ptr<const LoginSessions> login = {});
  void accept_control(std::shared_ptr<serial_transport::Connection> connection);
  void serve_login(SshAsk asked, std::shared_ptr<LocalConnection> connection,
                   std::shared_ptr<LoginSessions> login);
  void accept_clock(std::shared_ptr<serial_transport::Connection> connection);

  const bool secure_;
  SessionTable sessions_;
  std::shared_ptr<SupervisorChannel> channel_;
  StdioServer stdio_;
  ControlServer control_;
  ClockServer clock_;
  SshServer ssh_;
  serial_transport::Endpoint endpoint_;
  // Of a secure link: what its control plane comes by, in SSH, on endpoint_'s connections.
  std::optional<serial_transport::Endpoint> inner_;
  common::UniqueFd next_link_;  // for inner_
  boost::asio::steady_timer timer_;
  uint64_t armed_ms_ = ~uint64_t{0};
  Inheritance inheritance_;
  bool leaving_ = false;
  bool broken_ = false;  // what its predecessor left makes no sense
};

}  // namespace tether
