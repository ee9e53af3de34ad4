// One SSH login, between its client and its process.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/unique_fd.h"
#include "serial-transport/connection.h"
#include "tether/link/connection_pump_driver.h"
#include "tether/link/login_sessions.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/link/ssh_server_driver.h"
#include "tether/link/supervisor_port.h"

namespace tether {

// One login: its client's connection, the socket to its process, and what that asks for.
class SshLogin : public std::enable_shared_from_this<SshLogin> {
 public:
  SshLogin(SupervisorPort& port, SshServer::Serve serve, SshServer::ServeLink serve_link,
           std::shared_ptr<serial_transport::Connection> connection, common::UniqueFd wire,
           common::UniqueFd requests)
      : port_(port),
        serve_(std::move(serve)),
        serve_link_(std::move(serve_link)),
        connection_(std::move(connection)),
        wire_(connection_->get_executor(), boost::asio::local::stream_protocol(), wire.release()),
        requests_(connection_->get_executor(), requests.release()),
        port_ready_(connection_->get_executor(), std::chrono::steady_clock::time_point::max()) {}
  // One that another link process has served until now.
  void set(LeftLogin& left) {
    up_.put(left.up);
    down_.put(left.down);
    sessions_->ids = std::move(left.sessions);
    sessions_->inherited = !sessions_->ids.empty();
  }

  void start();
  // Ends its tasks, and loses nothing of what they were about; `then` once they have ended.
  void leave(std::function<void()> then);
  // Behind leave(). Nothing: it was about to end anyway.
  std::optional<LeftLogin> left();
  // The port is no longer congested.
  void on_port_ready() { port_ready_.cancel(); }

 private:
  static constexpr size_t kPiece = 64 * 1024;
  static constexpr size_t kMaxServed = kSshMaxChannels + 16;

  // Bytes on their way from the one stream to the other.
  struct Way {
    std::vector<char> bytes = std::vector<char>(kPiece);
    size_t begin = 0, end = 0;
    bool ended = false;  // there is no more to come, or nobody to have it
    bool empty() const { return begin == end; }
    boost::asio::const_buffer rest() const {
      return boost::asio::buffer(bytes.data() + begin, end - begin);
    }
    auto view() const { return std::as_bytes(std::span(bytes).subspan(begin, end - begin)); }
    void put(std::string_view text) {
      if (text.size() > bytes.size()) bytes.resize(text.size());
      begin = 0;
      end = text.copy(bytes.data(), text.size());
    }
    std::string left() const { return {bytes.data() + begin, end - begin}; }
  };

  void on_task_end();
  static boost::asio::awaitable<void> up_task(std::shared_ptr<SshLogin> self);
  static boost::asio::awaitable<void> down_task(std::shared_ptr<SshLogin> self);
  static boost::asio::awaitable<void> request_task(std::shared_ptr<SshLogin> self);
  bool takes_requests() const {
    return !gone_ && !leaving_ && requests_.is_open() && !port_.congested();
  }
  bool take_request();
  void serve(SshAsk asked, common::UniqueFd fd);
  void tell(SshAsk what, std::string_view text);
  void stop();

  SupervisorPort& port_;
  SshServer::Serve serve_;
  const std::shared_ptr<LoginSessions> sessions_ = std::make_shared<LoginSessions>();
  SshServer::ServeLink serve_link_;
  std::shared_ptr<serial_transport::Connection> connection_;
  boost::asio::local::stream_protocol::socket wire_;
  boost::asio::posix::stream_descriptor requests_;
  boost::asio::steady_timer port_ready_;  // never expires
  std::array<std::weak_ptr<LocalConnection>, kMaxServed> served_;
  bool was_served_ = false;
  int news_ = 0;  // that were told; a successor counts anew
  Way up_, down_;
  int tasks_ = 0;  // that have not ended
  std::function<void()> on_left_;
  bool gone_ = false;
  bool leaving_ = false;
};

}  // namespace tether
