// The `ssh` service: each connection is given to a login process, which PID 1 starts. What comes
// and goes is not looked at here.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "serial-transport/connection.h"
#include "tether/link/connection_pump_driver.h"
#include "tether/link/login_sessions.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/link/supervisor_port.h"

namespace tether {

class SshLogin;

// A login that another link process goes on with.
struct LeftLogin {
  std::shared_ptr<serial_transport::Connection> connection;
  std::string up, down;  // from the client, to the client: read, and not yet passed on
  std::set<uint32_t> sessions;
  common::UniqueFd wire, requests;
};

// Single-threaded, as its executor. Logins outlive it until their connections end.
class SshServer {
 public:
  static constexpr size_t kMaxWaiting = 32;
  // Makes a stream socket of a login process's a connection of the service asked for, to the
  // login's own sessions.
  using Serve =
      std::function<void(SshAsk, std::shared_ptr<LocalConnection>, std::shared_ptr<LoginSessions>)>;
  // Takes one as a byte link of a host end.
  using ServeLink = std::function<void(common::UniqueFd)>;

  SshServer(SupervisorPort& port, Serve serve, ServeLink serve_link)
      : port_(port), serve_(std::move(serve)), serve_link_(std::move(serve_link)) {}
  void accept(std::shared_ptr<serial_transport::Connection> connection);
  // kSshStarted; others are ignored.
  void on_message(const LinkHeader& header, std::span<common::UniqueFd> fds);
  // The port is no longer congested.
  void on_port_ready();

  // Serves them no more, and gives them once nothing is pending on their connections; those that
  // are ending anyway are left out.
  void hand_over(std::function<void(std::vector<LeftLogin>)> then);
  void take_over(LeftLogin left);

 private:
  void tell_full();

  SupervisorPort& port_;
  Serve serve_;
  ServeLink serve_link_;
  std::map<uint64_t, std::shared_ptr<serial_transport::Connection>> waiting_;  // by their kSshLogin
  std::vector<std::weak_ptr<SshLogin>> logins_;
  uint64_t last_ = 0;
  bool full_ = false;  // and that was told
};

}  // namespace tether
