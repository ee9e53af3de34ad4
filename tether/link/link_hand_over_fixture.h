// For tests: a link process with one SSH login, its host, its supervisor and its successors.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/fd_message.h"
#include "protocol/config.h"
#include "tether/link/link_process_driver.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

class LinkHandOver : public testing::Test {
 protected:
  struct Piece {
    LinkHeader header;
    common::UniqueFd fd;
  };

  explicit LinkHandOver(protocol::pb::ContainerVm config = {}) : config_(std::move(config)) {
    auto line = socket_pair(SOCK_STREAM);
    line_ = std::move(line[1]);
    options_.key.fill(std::byte{5});
    options_.role = serial_transport::Role::kHost;
    host_ = std::make_unique<serial_transport::Endpoint>(
        io_.get_executor(), options_, serial_transport::fd_link(std::move(line[0])));
    host_->start();
    begin({});
    auto wire = socket_pair(SOCK_STREAM);
    auto requests = socket_pair(SOCK_SEQPACKET);
    wire_ = std::move(wire[0]);
    requests_ = std::move(requests[0]);
    const auto connected = std::make_shared<bool>(false);
    host_->async_connect(
        "ssh", serial_transport::TrafficClass::kInteractive,
        [this, connected](auto, std::shared_ptr<serial_transport::Connection> connection) {
          connection_ = std::move(connection);
          *connected = true;
        });
    const Piece asked = wait_for_message(LinkType::kSshLogin);
    LinkHeader started;
    started.type = LinkType::kSshStarted;
    started.writer = asked.header.writer;
    say(supervisor_.get(), started, {wire[1].get(), requests[1].get()});
    EXPECT_TRUE(wait_for([&] { return *connected; }));
  }
  ~LinkHandOver() override {
    process_.reset();
    host_->close();
  }

  static std::array<common::UniqueFd, 2> socket_pair(int type) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) ::abort();
    return {common::UniqueFd(ends[0]), common::UniqueFd(ends[1])};
  }
  // Another link process, which finds these pieces.
  void begin(std::vector<Piece> left) {
    auto supervisor = socket_pair(SOCK_SEQPACKET);
    supervisor_ = std::move(supervisor[0]);
    if (supervisor_room_ > 0) {
      ::setsockopt(supervisor[1].get(), SOL_SOCKET, SO_SNDBUF, &supervisor_room_,
                   sizeof supervisor_room_);
    }
    for (Piece& piece : left) {
      piece.header.type = LinkType::kTakeOver;
      say(supervisor_.get(), piece.header, {piece.fd.get()});
    }
    LinkProcess::Options guest;
    guest.config = config_;
    guest.endpoint = options_;
    guest.endpoint.role = serial_transport::Role::kGuest;
    guest.openers.push_back(
        serial_transport::fd_link(common::UniqueFd(::fcntl(line_.get(), F_DUPFD_CLOEXEC, 0))));
    guest.supervisor = std::move(supervisor[1]);
    process_ = std::make_unique<LinkProcess>(io_.get_executor(), std::move(guest));
    process_->start([this] { gone_ = true; });
  }
  std::vector<Piece> hand_over() {
    LinkHeader header;
    header.type = LinkType::kHandOver;
    say(supervisor_.get(), header, {});
    std::vector<Piece> out;
    EXPECT_TRUE(wait_for([&] {
      for (;;) {
        auto piece = receive();
        if (!piece) return false;
        if (piece->header.type == LinkType::kHandedOver) return true;
        if (piece->header.type == LinkType::kPiece) out.push_back(std::move(*piece));
      }
    }));
    process_.reset();
    return out;
  }

  static void say(int socket, const LinkHeader& header, const std::vector<int>& fds) {
    LinkHeader copy = header;
    const iovec part{&copy, sizeof copy};
    ASSERT_EQ(common::send_fds(socket, {&part, 1}, fds, 0), static_cast<ssize_t>(sizeof copy));
  }
  std::optional<Piece> receive() {
    Piece out;
    iovec part{&out.header, sizeof out.header};
    common::FdRoom<1> room;
    msghdr message = room.message(part);
    if (::recvmsg(supervisor_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) return {};
    common::take_fds(message, {&out.fd, 1});
    return out;
  }
  Piece wait_for_message(LinkType type) {
    Piece out;
    EXPECT_TRUE(wait_for([&] {
      while (auto piece = receive()) {
        if (piece->header.type != type) continue;
        out = std::move(*piece);
        return true;
      }
      return false;
    }));
    return out;
  }
  template <typename Condition>
  [[nodiscard]] bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      io_.run_one_for(std::chrono::milliseconds(20));
      io_.restart();
    }
    return true;
  }
  // From the login process's end, as much as there is.
  void drain_wire() {
    std::array<char, 65536> bytes;
    ssize_t n = 0;
    while ((n = ::read(wire_.get(), bytes.data(), bytes.size())) > 0) {
      up_.append(bytes.data(), static_cast<size_t>(n));
    }
  }
  void feed_wire(const std::string& text) {
    const ssize_t n = ::write(wire_.get(), text.data() + fed_, text.size() - fed_);
    if (n > 0) fed_ += static_cast<size_t>(n);
  }
  void read_on() {
    connection_->async_read_some(boost::asio::buffer(buffer_), [this](auto error, size_t size) {
      down_.append(buffer_.data(), size);
      if (error) {
        lost_ = true;
      } else {
        read_on();
      }
    });
  }

  protocol::pb::ContainerVm config_;
  boost::asio::io_context io_{1};
  serial_transport::EndpointOptions options_;
  common::UniqueFd line_, supervisor_, wire_, requests_;
  std::unique_ptr<serial_transport::Endpoint> host_;
  std::unique_ptr<LinkProcess> process_;
  std::shared_ptr<serial_transport::Connection> connection_;
  std::array<char, 10000> buffer_{};
  std::string up_, down_;
  size_t fed_ = 0;
  int supervisor_room_ = 0;  // bytes, of those that begin; 0: as ever
  bool gone_ = false, lost_ = false;
};

}  // namespace tether
