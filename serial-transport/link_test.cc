#include "serial-transport/link.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <cstdlib>
#include <cstring>

#include "serial-transport/endpoint_fixture.h"
#include "serial-transport/line.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;
using common::UniqueFd;

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

class LinkTest : public EndpointTest {
 protected:
  ~LinkTest() override { std::filesystem::remove(path_); }
  End& start_guest(std::vector<LinkOpener> openers) {
    return guest_.emplace(io_, guest_options_, std::move(openers));
  }
  End& start_host(LinkOpener opener) {
    return host_.emplace(io_, host_options_, std::move(opener));
  }
  UniqueFd listening_socket() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(0, ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    EXPECT_EQ(0, ::listen(fd.get(), 8));
    return fd;
  }
  void expect_traffic() {
    const auto [host, guest] = connect_both();
    std::string every(2560, ' ');
    for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<char>(i);
    write(*host, every);
    EXPECT_EQ(every, read_exactly(*guest, every.size()));
    write(*guest, every);
    EXPECT_EQ(every, read_exactly(*host, every.size()));
  }
  std::string path_ = testing::TempDir() + "link." + std::to_string(::getpid());
};

// Opens nothing, and counts how often it is asked.
LinkOpener counting(std::shared_ptr<int> calls, LinkOpener opener) {
  return [calls, opener = std::move(opener)] {
    ++*calls;
    return opener();
  };
}

TEST_F(LinkTest, ATerminalCarriesEveryByteUnchanged) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master);
  ASSERT_EQ(0, ::grantpt(master.get()));
  ASSERT_EQ(0, ::unlockpt(master.get()));
  const std::string slave = ::ptsname(master.get());
  start_guest({uart_link(slave, 115200)});
  start_host(fd_link(std::move(master)));
  expect_traffic();
}

TEST_F(LinkTest, AUartIsRawAtItsSpeed) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(0, ::unlockpt(master.get()));
  const auto link = uart_link(::ptsname(master.get()), 921600)();
  ASSERT_TRUE(link.has_value()) << link.error().message();
  termios settings{};
  ASSERT_EQ(0, ::tcgetattr(link->fd.get(), &settings));
  EXPECT_EQ(speed_t{B921600}, ::cfgetospeed(&settings));
  EXPECT_EQ(0U, settings.c_lflag & (ICANON | ECHO | ISIG));
  EXPECT_EQ(0U, settings.c_iflag & (IXON | IXOFF | ICRNL | ISTRIP));
  EXPECT_EQ(0U, settings.c_oflag & OPOST);
  EXPECT_EQ(tcflag_t{CS8}, settings.c_cflag & CSIZE);
  EXPECT_EQ(0U, settings.c_cflag & (PARENB | CSTOPB | CRTSCTS));
  EXPECT_NE(0U, settings.c_cflag & CLOCAL);
  EXPECT_TRUE(terminal_traits(link->fd.get()).can_corrupt);
}

TEST_F(LinkTest, AnUnusualSpeedIsRefusedByName) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(0, ::unlockpt(master.get()));
  const auto link = uart_link(::ptsname(master.get()), 12345)();
  ASSERT_TRUE(link.has_error());
  EXPECT_NE(std::string::npos, link.error().message().find("12345")) << link.error().message();
  EXPECT_NE(std::string::npos, link.error().message().find("/dev/pts/"));
}

TEST_F(LinkTest, TwoPipesAreALink) {
  int down[2] = {-1, -1}, up[2] = {-1, -1};
  ASSERT_EQ(0, ::pipe2(down, O_CLOEXEC));
  ASSERT_EQ(0, ::pipe2(up, O_CLOEXEC));
  start_guest({fd_pair_link(UniqueFd(down[0]), UniqueFd(up[1]))});
  start_host(fd_pair_link(UniqueFd(up[0]), UniqueFd(down[1])));
  expect_traffic();
}

TEST_F(LinkTest, AListeningSocketTakesOneClientAfterAnother) {
  start_guest({unix_listen_link(path_)});
  for (int i = 0; i < 3; ++i) {
    start_host(unix_socket_link(path_));
    expect_traffic();
    host_.reset();
    ASSERT_TRUE(wait_for([&] { return !guest_->endpoint->link_up(); }));
  }
}

TEST_F(LinkTest, AClientThatProvesNothingGivesWayToTheNext) {
  start_guest({fd_link(listening_socket())});
  const auto stranger = unix_socket_link(path_)();
  ASSERT_TRUE(stranger.has_value());
  EXPECT_TRUE(
      wait_for([&] { return guest_->endpoint->trouble() == "the other end does not answer"; }));
  start_host(unix_socket_link(path_));
  expect_traffic();
}

TEST_F(LinkTest, AHealthyClientDoesNotGiveWay) {
  start_guest({fd_link(listening_socket())});
  start_host(unix_socket_link(path_));
  const auto [host, guest] = connect_both();
  const auto stranger = unix_socket_link(path_)();
  ASSERT_TRUE(stranger.has_value());
  for (int i = 0; i < 100; ++i) {
    write(*host, "ping");
    EXPECT_EQ("ping", read_exactly(*guest, 4));
  }
  EXPECT_TRUE(guest_->endpoint->link_up());
}

TEST_F(LinkTest, TheFirstCandidateThatOpensIsUsed) {
  auto [good_guest, good_host] = socket_pair();
  auto [dead, other] = socket_pair();
  other.reset();
  start_guest({unix_socket_link("/nonexistent/link"), fd_link(std::move(dead)),
               fd_link(std::move(good_guest))});
  start_host(fd_link(std::move(good_host)));
  expect_traffic();
}

TEST_F(LinkTest, ACandidateThatBringsNoSessionIsGivenUpForTheNext) {
  auto [silent, unused] = socket_pair();
  auto [good_guest, good_host] = socket_pair();
  start_guest({fd_link(std::move(silent)), fd_link(std::move(good_guest))});
  start_host(fd_link(std::move(good_host)));
  expect_traffic();
}

TEST_F(LinkTest, WhatListensIsHeardWhileAnotherCandidateIsInVain) {
  auto [silent, unused] = socket_pair();
  start_guest({fd_link(std::move(silent)), fd_link(listening_socket())});
  start_host(unix_socket_link(path_));
  expect_traffic();
}

// Back-off doubles from 10 ms: five attempts take 150 ms at the least.
TEST_F(LinkTest, ALinkThatCannotBeOpenedIsTriedAgainWithoutHaste) {
  auto calls = std::make_shared<int>(0);
  const auto start = std::chrono::steady_clock::now();
  start_guest({counting(calls, unix_socket_link("/nonexistent/link"))});
  ASSERT_TRUE(wait_for([&] { return *calls == 5; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 150ms);
  EXPECT_NE(std::string::npos, guest_->endpoint->trouble().find("/nonexistent/link"));
}

TEST_F(LinkTest, ALinkGivesWayToAnotherWhereItIsSaidThatThereIsOne) {
  auto [here, there] = socket_pair();
  auto next = std::make_shared<UniqueFd>(std::move(here));
  start_guest({[next]() -> common::Result<Link> {
    if (!*next) return common::make_error(ENOTCONN, "open", "link");
    ::fcntl(next->get(), F_SETFL, O_NONBLOCK);
    return Link(std::move(*next));
  }});
  start_host(fd_link(std::move(there)));
  expect_traffic();
  auto [again, its_end] = socket_pair();
  *next = std::move(again);
  guest_->endpoint->reopen();
  start_host(fd_link(std::move(its_end)));
  expect_traffic();
  guest_->endpoint->reopen();
  EXPECT_FALSE(guest_->endpoint->link_up());
  EXPECT_NE(std::string::npos, guest_->endpoint->trouble().find("link"));
}

TEST_F(LinkTest, ALinkThatEndsAtOnceIsTriedAgainWithoutHaste) {
  auto calls = std::make_shared<int>(0);
  const auto start = std::chrono::steady_clock::now();
  start_guest({counting(calls, []() -> common::Result<Link> {
    auto [here, there] = socket_pair();
    // It ends only when the endpoint reads: a shut down socket does not hang up.
    ::shutdown(there.get(), SHUT_WR);
    static std::vector<UniqueFd> kept;
    kept.push_back(std::move(there));
    ::fcntl(here.get(), F_SETFL, O_NONBLOCK);
    return Link(std::move(here));
  })});
  ASSERT_TRUE(wait_for([&] { return *calls == 5; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 150ms);
}

TEST_F(LinkTest, BehindAProxyForVsockTheRequestComesFirst) {
  const UniqueFd listener = listening_socket();
  auto [guest_fd, proxy_fd] = socket_pair();
  start_guest({fd_link(std::move(guest_fd))});
  start_host(vsock_proxy_link(path_, 1024));
  // The proxy: reads the line and no more, answers, and from then on passes everything on.
  const UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::string line;
  for (char c = 0; c != '\n' && ::read(client.get(), &c, 1) == 1;) line += c;
  EXPECT_EQ("CONNECT 1024\n", line);
  ASSERT_EQ(5, ::write(client.get(), "OK 7\n", 5));
  using Socket = asio::local::stream_protocol::socket;
  Socket a(io_, asio::local::stream_protocol(), ::dup(client.get()));
  Socket b(io_, asio::local::stream_protocol(), proxy_fd.release());
  std::array<char, 4096> to_a{}, to_b{};
  std::function<void(Socket&, Socket&, std::array<char, 4096>&)> copy =
      [&copy](Socket& from, Socket& to, std::array<char, 4096>& buffer) {
        from.async_read_some(asio::buffer(buffer), [&](ErrorCode error, size_t n) {
          if (error) return;
          asio::async_write(to, asio::buffer(buffer, n), [&](ErrorCode failed, size_t) {
            if (!failed) copy(from, to, buffer);
          });
        });
      };
  copy(a, b, to_b);
  copy(b, a, to_a);
  expect_traffic();
}

TEST_F(LinkTest, AnotherKeyBringsNoLinkUpAndIsNamed) {
  host_options_.key[31] ^= std::byte{1};
  make_pair();
  EXPECT_TRUE(
      wait_for([&] { return host_->endpoint->trouble() == "the other end has another key"; }));
}

sockaddr_storage vsock_peer(unsigned cid) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = 1024;
  sockaddr_storage peer{};
  std::memcpy(&peer, &address, sizeof address);
  return peer;
}

// Few hosts have a vsock that loops back; tests/vm refuses real ones.
TEST(LinkPeerTest, OfAVsocketIsTheHostAlone) {
  EXPECT_TRUE(is_from_host(vsock_peer(VMADDR_CID_HOST)));
  constexpr std::array<unsigned, 5> kOthers = {VMADDR_CID_HYPERVISOR, VMADDR_CID_LOCAL, 3, 4,
                                               VMADDR_CID_ANY};
  for (const unsigned cid : kOthers) {
    EXPECT_FALSE(is_from_host(vsock_peer(cid))) << cid;
  }
}

TEST(LinkPeerTest, OfAnotherSocketMayBeAnybody) {
  auto [a, b] = socket_pair();
  EXPECT_TRUE(is_from_host(a.get()));
}

TEST(LinkPeerTest, ThatCannotBeAskedForIsNotTheHost) {
  const UniqueFd unconnected(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(is_from_host(unconnected.get()));
}

TEST(LinkStateTest, TellsWhatAnOpenerHasGiven) {
  auto [a, b] = socket_pair();
  EXPECT_EQ(LinkState::kOpen, state_of(a.get()));
  b.reset();
  EXPECT_EQ(LinkState::kHungUp, state_of(a.get()));
  const UniqueFd unconnected(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(LinkState::kConnecting, state_of(unconnected.get()));
}

}  // namespace
}  // namespace serial_transport
