// The shim's side of a secure link (docs/secure-link.md): the endpoint on the line, which has the
// agent's `ssh` service alone, a login on it in a process of its own, and what comes of that: a
// byte link for the endpoint that the shim's clients use.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "serial-transport/endpoint.h"
#include "vch/secure-link/secure_link.h"

namespace vch {

// Single-threaded, as its io_context. Ends its process when it goes.
class SecureLink {
 public:
  struct Options {
    serial_transport::EndpointOptions endpoint;  // on the line
    SecureLinkKeys keys;
  };
  // `on_trouble` is told why there is no login, each time that trouble() becomes something.
  SecureLink(boost::asio::io_context& io, Options options, serial_transport::LinkOpener line,
             std::function<void(const std::string& why)> on_trouble);
  ~SecureLink();
  SecureLink(const SecureLink&) = delete;
  SecureLink& operator=(const SecureLink&) = delete;

  void start();
  void close();
  // Where `ssh` is.
  serial_transport::Endpoint& line() { return line_; }
  // The opener of the endpoint above: begins a login, and gives what will be its channel. The login
  // before it ends. EAGAIN soon after one that failed.
  common::Result<serial_transport::Link> open();
  // Why nobody gets through, in a line; empty: there is a login, or it is to be waited for.
  const std::string& trouble() const { return trouble_; }

 private:
  struct Login;
  void watch(const std::shared_ptr<Login>& login);
  void on_process_end(const std::shared_ptr<Login>& login);
  void on_report(const std::string& line);
  void on_failure(std::string_view why, bool refused);
  void end_login();
  void look_at_line();

  boost::asio::io_context& io_;
  const SecureLinkKeys keys_;
  serial_transport::Endpoint line_;
  std::function<void(const std::string&)> on_trouble_;
  boost::asio::steady_timer look_;
  int bad_looks_ = 0;
  std::shared_ptr<Login> login_;  // the latest
  std::chrono::steady_clock::time_point not_before_;
  int losses_ = 0;  // in a row, before anything came of a login
  std::string trouble_;
};

}  // namespace vch
