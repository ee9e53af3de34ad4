// A link process goes on with the SSH logins of another, over the same byte link.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstring>

#include "common/fd_message.h"
#include "protocol/control.pb.h"
#include "protocol/stdio.h"
#include "tether/link/link_process_driver.h"
#include "tether/link/ring_writer.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {

namespace asio = boost::asio;
using serial_transport::Connection;
using serial_transport::TrafficClass;

std::array<common::UniqueFd, 2> socket_pair(int type) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) ::abort();
  return {common::UniqueFd(ends[0]), common::UniqueFd(ends[1])};
}

std::string pseudo_random(size_t size, uint32_t state) {
  std::string out(size, '\0');
  for (char& byte : out) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return out;
}

struct Piece {
  LinkHeader header;
  common::UniqueFd fd;
};

class LinkHandOver : public testing::Test {
 protected:
  LinkHandOver() {
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
    host_->async_connect("ssh", TrafficClass::kInteractive,
                         [this, connected](auto, std::shared_ptr<Connection> connection) {
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

  // Another link process, which finds these pieces.
  void begin(std::vector<Piece> left) {
    auto supervisor = socket_pair(SOCK_SEQPACKET);
    supervisor_ = std::move(supervisor[0]);
    for (Piece& piece : left) {
      piece.header.type = LinkType::kTakeOver;
      say(supervisor_.get(), piece.header, {piece.fd.get()});
    }
    LinkProcess::Options guest;
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
    connection_->async_read_some(asio::buffer(buffer_), [this](auto error, size_t size) {
      down_.append(buffer_.data(), size);
      if (error) {
        lost_ = true;
      } else {
        read_on();
      }
    });
  }

  asio::io_context io_{1};
  serial_transport::EndpointOptions options_;
  common::UniqueFd line_, supervisor_, wire_, requests_;
  std::unique_ptr<serial_transport::Endpoint> host_;
  std::unique_ptr<LinkProcess> process_;
  std::shared_ptr<Connection> connection_;
  std::array<char, 10000> buffer_{};
  std::string up_, down_;
  size_t fed_ = 0;
  bool gone_ = false, lost_ = false;
};

TEST_F(LinkHandOver, ALoginsBytesGoOnExactlyOnceThroughManySuccessors) {
  const std::string up = pseudo_random(3U << 20U, 1);
  const std::string down = pseudo_random(3U << 20U, 2);
  bool written = false;
  asio::async_write(*connection_, asio::buffer(up), [&](auto error, size_t) { written = !error; });
  read_on();
  // Each time with buffers full: nobody reads or writes at the login's end meanwhile.
  for (size_t round = 1; round <= 5; ++round) {
    ASSERT_TRUE(wait_for([&] {
      if (up_.size() < round * 500000) drain_wire();
      if (fed_ < round * 500000) feed_wire(down);
      return up_.size() >= round * 500000 && fed_ >= round * 500000;
    }));
    auto left = hand_over();
    ASSERT_EQ(left.size(), 3U);
    EXPECT_EQ(left[2].header.value, static_cast<uint32_t>(LinkPiece::kState));
    begin(std::move(left));
  }
  ASSERT_TRUE(wait_for([&] {
    drain_wire();
    feed_wire(down);
    return lost_ || (written && up_.size() >= up.size() && down_.size() >= down.size());
  }));
  EXPECT_FALSE(lost_);
  EXPECT_TRUE(up_ == up);
  EXPECT_TRUE(down_ == down);
  // And it ends as any other.
  wire_.reset();
  EXPECT_TRUE(wait_for([&] { return lost_; }));
  EXPECT_FALSE(gone_);
}

TEST_F(LinkHandOver, WithoutTheDescriptorsThatLoginAloneIsCut) {
  read_on();
  auto left = hand_over();
  ASSERT_EQ(left.size(), 3U);
  left.erase(left.begin());
  begin(std::move(left));
  EXPECT_TRUE(wait_for([&] { return lost_; }));
  EXPECT_FALSE(gone_);
  EXPECT_TRUE(wait_for([&] { return host_->session_up(); }));
}

TEST_F(LinkHandOver, AStateThatMakesNoSenseIsTheEndOfTheSuccessor) {
  auto left = hand_over();
  ASSERT_EQ(left.size(), 3U);
  EXPECT_EQ(::ftruncate(left[2].fd.get(), 60), 0);
  begin(std::move(left));
  EXPECT_TRUE(gone_);
}

TEST_F(LinkHandOver, OneOfAnotherVersionIsLeftAlone) {
  read_on();
  auto left = hand_over();
  ASSERT_EQ(left.size(), 3U);
  EXPECT_EQ(::pwrite(left[2].fd.get(), "\7", 1, 0), 1);
  begin(std::move(left));
  EXPECT_FALSE(gone_);
  EXPECT_TRUE(wait_for([&] { return lost_; }));
}

TEST_F(LinkHandOver, WithoutALoginThereIsNothingToLeave) {
  read_on();
  connection_->reset();
  EXPECT_TRUE(wait_for([&] {
    char byte = 0;
    return ::read(wire_.get(), &byte, 1) == 0;
  }));
  wire_.reset();
  EXPECT_TRUE(hand_over().empty());
}

// What the login's process asks for, beside its client's words.
class LoginRequests : public LinkHandOver {
 protected:
  static constexpr uint32_t kSession = 5;
  common::UniqueFd ask(SshAsk service, const std::string& first) {
    auto ends = socket_pair(SOCK_STREAM);
    EXPECT_EQ(::write(ends[0].get(), first.data(), first.size()),
              static_cast<ssize_t>(first.size()));
    auto what = static_cast<char>(service);
    const iovec part{&what, 1};
    const int theirs = ends[1].get();
    EXPECT_EQ(common::send_fds(requests_.get(), {&part, 1}, {&theirs, 1}, 0), 1);
    return std::move(ends[0]);
  }
  // To what the exec with this id starts.
  common::UniqueFd attach_early(char id) {
    protocol::StdioAttach attach;
    attach.session = protocol::StdioAttach::kOfExecSession;
    attach.flags = protocol::StdioAttach::kOfExec | protocol::StdioAttach::kWantOutput;
    attach.writer.fill(static_cast<std::byte>(id));
    return ask(SshAsk::kServeStdio,
               protocol::encode_frame(protocol::StdioType::kAttach, protocol::Stream::kStdin, 0,
                                      protocol::encode(attach)));
  }
  common::UniqueFd ask_exec(char id) {
    ::tether::v1::Request request;
    request.set_id(std::string(16, id));
    request.mutable_exec()->mutable_login();
    const std::string bytes = request.SerializeAsString();
    return ask(SshAsk::kServeControl, static_cast<char>(bytes.size()) + bytes);
  }
  void tell_session(char id) {
    LinkHeader header;
    header.type = LinkType::kSession;
    header.session = kSession;
    header.value = kSessionFresh;
    std::memset(header.writer.data(), id, sizeof header.writer);
    const std::array<common::UniqueFd, 2> rings = {rings_[0].reader(), rings_[1].reader()};
    say(supervisor_.get(), header, {rings[0].get(), rings[1].get()});
  }
  [[nodiscard]] bool hear(const common::UniqueFd& socket, std::string& bytes) {
    return wait_for([&] {
      std::array<char, 4096> piece;
      const ssize_t n = ::read(socket.get(), piece.data(), piece.size());
      bytes.assign(piece.data(), n > 0 ? static_cast<size_t>(n) : 0);
      return n >= 0;
    });
  }
  [[nodiscard]] bool ends(const common::UniqueFd& socket) {
    std::string bytes;
    return hear(socket, bytes) && bytes.empty();
  }
  void expect_attached(const common::UniqueFd& socket) {
    std::string bytes;
    ASSERT_TRUE(hear(socket, bytes));
    protocol::StdioReader reader;
    reader.feed(bytes);
    const auto frame = reader.next();
    ASSERT_TRUE(frame.has_value());
    ASSERT_EQ(frame->header.type, protocol::StdioType::kAttached) << frame->payload;
    EXPECT_EQ(protocol::decode_attached(frame->payload)->session, kSession);
  }

  std::array<RingWriter, 2> rings_;
};

TEST_F(LoginRequests, AnExecAndItsAttachNeedNoTwoTurns) {
  const auto stdio = attach_early('e');
  const auto control = ask_exec('e');
  wait_for_message(LinkType::kLaunch);
  tell_session('e');
  std::string bytes;
  ASSERT_TRUE(hear(control, bytes));
  ::tether::v1::Message message;
  ASSERT_GT(bytes.size(), 1U);
  ASSERT_TRUE(message.ParseFromString(bytes.substr(1)));
  EXPECT_EQ(message.reply().session(), kSession);
  expect_attached(stdio);
}

TEST_F(LoginRequests, AnAttachThatWaitsEndsWithTheLoginsProcess) {
  const auto stdio = attach_early('e');
  const auto control = ask_exec('e');
  wait_for_message(LinkType::kLaunch);  // by now it waits
  requests_.reset();
  EXPECT_TRUE(ends(stdio));
}

TEST_F(LoginRequests, TheSuccessorServesTheAttachOfAnExecThatWasAnsweredBefore) {
  const auto control = ask_exec('e');
  wait_for_message(LinkType::kLaunch);
  tell_session('e');
  std::string bytes;
  ASSERT_TRUE(hear(control, bytes));
  auto left = hand_over();
  const auto late = attach_early('e');
  begin(std::move(left));
  tell_session('e');
  expect_attached(late);
}

}  // namespace
}  // namespace tether
