// What a login's process asks for, beside its client's words.
#include <gtest/gtest.h>
#include <sys/socket.h>
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
