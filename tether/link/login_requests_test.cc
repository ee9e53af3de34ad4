// What a login's process asks for, beside its client's words.
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "common/fd_message.h"
#include "protocol/control.pb.h"
#include "protocol/stdio.h"
#include "tether/link/link_hand_over_fixture.h"
#include "tether/link/ring_writer.h"
#include "tether/link/ssh/ssh_role.h"

namespace tether {
namespace {

class LoginRequests : public LinkHandOver {
 protected:
  using LinkHandOver::LinkHandOver;
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
  static std::string exec(char id) {
    ::tether::v1::Request request;
    request.set_id(std::string(16, id));
    request.mutable_exec()->mutable_login();
    const std::string bytes = request.SerializeAsString();
    return static_cast<char>(bytes.size()) + bytes;
  }
  common::UniqueFd ask_exec(char id) { return ask(SshAsk::kServeControl, exec(id)); }
  void tell_news(int count) {
    const std::array<char, 2> bytes = {static_cast<char>(SshAsk::kRefused), 'x'};
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(::send(requests_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
    }
  }
  int receive_news() {
    int count = 0;
    while (const auto piece = receive()) count += piece->header.type == LinkType::kSshNews ? 1 : 0;
    return count;
  }
  // To the supervisor, nearly: a few news more, and it is congested. Gives what holds the execs.
  common::UniqueFd fill_the_way() {
    supervisor_room_ = 1;
    begin(hand_over());
    std::string execs;
    for (int id = 1; id <= 64; ++id) execs += exec(static_cast<char>(id));
    auto control = ask(SshAsk::kServeControl, execs);
    wait_for_message(LinkType::kLaunch);
    return control;
  }
  // Not taken yet.
  bool asks_something() const {
    int unread = 0;
    EXPECT_EQ(::ioctl(requests_.get(), TIOCOUTQ, &unread), 0);
    return unread > 0;
  }
  void come_to_rest() {
    while (io_.poll() > 0) continue;
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

TEST_F(LoginRequests, OneThatTellsWithoutEndIsEnded) {
  read_on();
  tell_news(200);
  int news = 0;
  EXPECT_TRUE(wait_for([&] {
    news += receive_news();
    return lost_;
  }));
  come_to_rest();
  EXPECT_EQ(news + receive_news(), 64 + 1);  // and that it is ended
  EXPECT_FALSE(gone_);
}

TEST_F(LoginRequests, ATurnHasSomeOfThem) {
  tell_news(60);
  int news = 0;
  ASSERT_TRUE(wait_for([&] { return (news = receive_news()) > 0; }));
  EXPECT_LT(news, 60);
  EXPECT_TRUE(wait_for([&] { return (news += receive_news()) == 60; }));
}

TEST_F(LoginRequests, NoneIsTakenWhileTheSupervisorTakesNothing) {
  const auto control = fill_the_way();
  tell_news(60);
  come_to_rest();
  EXPECT_TRUE(asks_something());
  int news = 0;
  EXPECT_TRUE(wait_for([&] { return (news += receive_news()) == 60; }));
  EXPECT_FALSE(asks_something());
}

TEST_F(LoginRequests, OneThatWaitsForTheSupervisorIsHandedOver) {
  const auto control = fill_the_way();
  tell_news(60);
  come_to_rest();
  ASSERT_TRUE(asks_something());
  begin(hand_over());
  EXPECT_TRUE(wait_for([&] { return !asks_something(); }));
}

class SecureLoginRequests : public LoginRequests {
 protected:
  SecureLoginRequests() : LoginRequests(secure()) {}
  static protocol::pb::ContainerVm secure() {
    protocol::pb::ContainerVm config;
    config.add_links()->set_security(protocol::pb::Link::SSH);
    return config;
  }
};

TEST_F(SecureLoginRequests, AHostEndsLoginBecomesTheLinkOnce) {
  const auto link = ask(SshAsk::kServeLink, "");
  std::string hello;
  ASSERT_TRUE(hear(link, hello));
  EXPECT_FALSE(hello.empty());
  EXPECT_TRUE(ends(ask(SshAsk::kServeLink, "")));
  std::array<char, 1> byte;
  EXPECT_NE(::recv(link.get(), byte.data(), byte.size(), MSG_DONTWAIT | MSG_PEEK), 0) << "it ended";
}

TEST_F(SecureLoginRequests, AnotherLoginBecomesNoLink) {
  const auto control = ask_exec('e');
  wait_for_message(LinkType::kLaunch);
  EXPECT_TRUE(ends(ask(SshAsk::kServeLink, "")));
}

}  // namespace
}  // namespace tether
