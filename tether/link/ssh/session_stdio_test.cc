#include "tether/link/ssh/session_stdio.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "common/fd_message.h"

namespace tether {
namespace {

using protocol::StdioAttach;
using protocol::StdioAttached;
using protocol::StdioType;
using protocol::Stream;

constexpr std::string_view kRequest = "0123456789abcdef";
constexpr uint32_t kSession = 7;

// The link process's end of one connection.
struct Served {
  common::UniqueFd socket;
  protocol::StdioReader reader;
  struct Frame {
    StdioType type;
    uint64_t offset;
    std::string payload;
  };

  // What has come; false: the client has gone.
  bool hear(std::vector<Frame>& out) {
    std::array<char, 64 * 1024> bytes;
    ssize_t n = 0;
    while ((n = ::recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0) {
      reader.feed({bytes.data(), static_cast<size_t>(n)});
      while (const auto frame = reader.next()) {
        out.push_back({frame->header.type, frame->header.offset, std::string(frame->payload)});
      }
    }
    return n != 0;
  }
  std::vector<Frame> heard() {
    std::vector<Frame> out;
    hear(out);
    return out;
  }
  StdioAttach attach() {
    const auto frames = heard();
    if (frames.empty() || frames[0].type != StdioType::kAttach) {
      ADD_FAILURE() << "no ATTACH";
      return {};
    }
    return protocol::decode_attach(frames[0].payload).value();
  }
  void say(StdioType type, Stream stream, uint64_t offset, std::string_view payload = {}) {
    const std::string frame = protocol::encode_frame(type, stream, offset, payload);
    ASSERT_EQ(::send(socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(frame.size()));
  }
  void say_attached(uint64_t stdin_offset = 0) {
    StdioAttached attached;
    attached.session = kSession;
    attached.flags = StdioAttached::kStdinOpen | StdioAttached::kWideStdin;
    attached.stdin_offset = stdin_offset;
    say(StdioType::kAttached, Stream::kStdin, 0, protocol::encode(attached));
  }
};

class SessionStdioTest : public testing::Test {
 protected:
  SessionStdioTest() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) ::abort();
    ours_.reset(ends[0]);
    services_.emplace(ends[0]);
    link_.reset(ends[1]);
    stdio_.emplace(*services_, [this](size_t stream, std::string_view bytes) {
      bytes = bytes.substr(0, takes_);
      taken_[stream] += bytes;
      return bytes.size();
    });
  }
  // The next connection that was asked for; an invalid socket: none was.
  Served accept() {
    Served out;
    char what = 0;
    iovec part{&what, 1};
    common::FdRoom<1> room;
    msghdr message = room.message(part);
    if (::recvmsg(link_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1) return out;
    EXPECT_EQ(static_cast<SshAsk>(what), SshAsk::kServeStdio);
    common::take_fds(message, {&out.socket, 1});
    return out;
  }
  void pump() {
    stdio_->deliver();
    stdio_->pump(true);
  }
  void say_exit(Served& served, uint32_t code) {
    protocol::StdioExit exit;
    exit.exit_code = code;
    served.say(StdioType::kExit, Stream::kStdin, 0, protocol::encode(exit));
  }

  common::UniqueFd ours_, link_;
  std::optional<SshServices> services_;
  std::optional<SessionStdio> stdio_;
  std::array<std::string, 2> taken_;
  size_t takes_ = ~size_t{0};
};

TEST_F(SessionStdioTest, AttachesBeforeItsSessionIsKnown) {
  stdio_->expect(kRequest);
  auto served = accept();
  ASSERT_TRUE(served.socket) << "at once";
  const auto attach = served.attach();
  EXPECT_EQ(attach.session, StdioAttach::kOfExecSession);
  EXPECT_EQ(attach.flags,
            StdioAttach::kOfExec | StdioAttach::kWantStdin | StdioAttach::kWantOutput);
  EXPECT_EQ(std::memcmp(attach.writer.data(), kRequest.data(), kRequest.size()), 0);
  EXPECT_EQ(stdio_->session(), 0U);
  served.say_attached();
  pump();
  EXPECT_EQ(stdio_->session(), kSession);
  stdio_->attach(kSession);
  EXPECT_FALSE(accept().socket) << "it is attached";
  served.say(StdioType::kData, Stream::kStdout, 0, "hello");
  say_exit(served, 3);
  pump();
  EXPECT_EQ(taken_[0], "hello");
  ASSERT_TRUE(stdio_->over());
  EXPECT_EQ(stdio_->exit().exit_code, 3U);
}

TEST_F(SessionStdioTest, WhoIsRefusedTooEarlyComesAgainWithTheNumber) {
  stdio_->expect(kRequest);
  stdio_->on_input("typed");
  auto early = accept();
  pump();
  early.say(StdioType::kError, Stream::kStdin, 0, "no such session: 4294967295");
  pump();
  EXPECT_FALSE(stdio_->ended()) << "the exec's answer is to come";
  EXPECT_FALSE(accept().socket);
  stdio_->attach(kSession);
  auto served = accept();
  ASSERT_TRUE(served.socket);
  const auto attach = served.attach();
  EXPECT_EQ(attach.session, kSession);
  EXPECT_EQ(attach.flags & StdioAttach::kOfExec, 0U);
  served.say_attached();
  pump();
  const auto heard = served.heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].payload, "typed");
}

TEST_F(SessionStdioTest, TheRefusalMayAlsoComeBehindTheAnswer) {
  stdio_->expect(kRequest);
  auto early = accept();
  stdio_->attach(kSession);
  EXPECT_FALSE(accept().socket) << "the early one may still be answered";
  early.say(StdioType::kError, Stream::kStdin, 0, "no such session: 4294967295");
  pump();
  auto served = accept();
  ASSERT_TRUE(served.socket);
  EXPECT_EQ(served.attach().session, kSession);
}

TEST_F(SessionStdioTest, ALinkProcessThatEndsBeforeTheAnswerCostsNothing) {
  stdio_->expect(kRequest);
  stdio_->on_input("typed");
  pump();
  accept();  // and closes it
  for (int i = 0; i < 2 * SshServices::kMostLost; ++i) pump();
  EXPECT_FALSE(stdio_->ended());
  stdio_->attach(kSession);
  auto served = accept();
  ASSERT_TRUE(served.socket);
  EXPECT_EQ(served.attach().session, kSession);
  served.say_attached(2);
  pump();
  const auto heard = served.heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].offset, 2U) << "the rest of it, whoever had the beginning";
  EXPECT_EQ(heard[0].payload, "ped");
}

TEST_F(SessionStdioTest, AnExecThatIsRefusedEndsWithTheReason) {
  stdio_->expect(kRequest);
  auto early = accept();
  stdio_->fail("user nobody: no such user");
  std::vector<Served::Frame> heard;
  EXPECT_FALSE(early.hear(heard)) << "it is let go of";
  pump();
  EXPECT_TRUE(stdio_->over());
  EXPECT_EQ(stdio_->exit().exit_code, 255U);
  EXPECT_EQ(taken_[1], "tether: user nobody: no such user\r\n");
}

TEST_F(SessionStdioTest, GoesOnAtTheByteWhereAConnectionWasLost) {
  stdio_->expect(kRequest);
  auto first = accept();
  first.say_attached();
  takes_ = 3;
  first.say(StdioType::kData, Stream::kStdout, 0, "hello");
  stdio_->on_input("input");
  pump();
  EXPECT_EQ(taken_[0],
            "hel"
            "lo")
      << "offered until it is all taken";
  first.socket.reset();
  pump();
  auto second = accept();
  ASSERT_TRUE(second.socket);
  const auto attach = second.attach();
  EXPECT_EQ(attach.session, kSession);
  EXPECT_EQ(attach.stdout_offset, 5U);
  stdio_->on_input(" more");
  pump();
  EXPECT_TRUE(second.heard().empty()) << "not known where";
  second.say_attached(5);
  pump();
  const auto heard = second.heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].offset, 5U);
  EXPECT_EQ(heard[0].payload, " more");
}

TEST_F(SessionStdioTest, GivesUpAfterSomeConnectionsThatBroughtNothing) {
  stdio_->expect(kRequest);
  accept();
  stdio_->attach(kSession);
  for (int i = 0; i < 10 * SshServices::kMostLost && !stdio_->ended(); ++i) {
    pump();
    accept();
  }
  ASSERT_TRUE(stdio_->ended());
  pump();
  EXPECT_EQ(taken_[1], "tether: the session was lost\r\n");
}

}  // namespace
}  // namespace tether
