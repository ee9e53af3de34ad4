// The link process's end of the SOCK_SEQPACKET to the supervisor, on Asio.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/unique_fd.h"
#include "tether/link/supervisor_port.h"

namespace tether {

class SupervisorChannel : public SupervisorPort,
                          public std::enable_shared_from_this<SupervisorChannel> {
 public:
  static constexpr size_t kCongested = 64;  // messages waiting
  static constexpr size_t kMaxQueued = 4096;

  struct Handlers {
    std::function<void(const LinkHeader&, std::string_view, std::span<common::UniqueFd>)>
        on_message;
    std::function<void()> on_ready;   // no longer congested
    std::function<void()> on_closed;  // the supervisor is gone; called once
  };

  SupervisorChannel(boost::asio::any_io_executor executor, common::UniqueFd socket);
  // Reads what is there at once, then on. Owned by shared_ptr.
  void start(Handlers handlers);
  void close();

  // At kMaxQueued the supervisor hangs: that counts as its end.
  void send(const LinkHeader& header, std::string_view payload) override;
  void send_fd(const LinkHeader& header, common::UniqueFd fd) override;
  bool congested() const override { return queue_.size() >= kCongested; }

 private:
  enum class Read { kMessage, kNothing, kEnd };
  Read read_one();
  void on_readable();
  void wait_readable();
  struct Message {
    std::string bytes;
    common::UniqueFd fd;
  };
  void queue(Message message);
  bool send_at_once(const LinkHeader& header, std::string_view payload);
  ssize_t send_one(const Message& message);
  void flush();
  void end();

  boost::asio::posix::stream_descriptor socket_;
  Handlers handlers_;
  std::string buffer_;
  std::deque<Message> queue_;
  bool write_waiting_ = false;
  bool was_congested_ = false;
  bool ended_ = false;
};

}  // namespace tether
