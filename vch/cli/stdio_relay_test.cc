#include "vch/cli/stdio_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace vch {
namespace {

using common::UniqueFd;

constexpr size_t kMuch = size_t{4} << 20U;  // more than all that lies between holds
constexpr int kBoundMs = 30000;             // for what hangs; no test waits for it

std::string text(size_t size, size_t factor) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * factor + i / 251);
  return out;
}

// The relay in a process of its own, and its three ends, which do not block.
class StdioRelayTest : public testing::Test {
 protected:
  void start(int flags_of_stdin = 0) {
    std::array<int, 2> in{}, out{}, sockets{};
    ASSERT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
    const UniqueFd its_in(in[0]), its_out(out[1]), its_socket(sockets[1]);
    ASSERT_EQ(::fcntl(its_in.get(), F_SETFL, flags_of_stdin), 0);
    // So that a pipe full of bytes does not fit.
    const int small = 4096;
    ASSERT_EQ(::setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    stdin_.reset(in[1]);
    stdout_.reset(out[0]);
    service_.reset(sockets[0]);
    for (const UniqueFd* end : {&stdin_, &stdout_, &service_}) {
      ASSERT_EQ(::fcntl(end->get(), F_SETFL, O_NONBLOCK), 0);
    }
    process_ = ::fork();
    ASSERT_GE(process_, 0);
    if (process_ != 0) return;
    for (UniqueFd* end : {&stdin_, &stdout_, &service_}) end->reset();
    ::_exit(relay_stdio(its_in.get(), its_out.get(), its_socket).has_value() ? 0 : 1);
  }
  void SetUp() override { ::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override {
    if (process_ < 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  // What goes at once.
  static size_t fill(const UniqueFd& to, std::string_view bytes) {
    return static_cast<size_t>(std::max<ssize_t>(::write(to.get(), bytes.data(), bytes.size()), 0));
  }
  // Writes all of `bytes`, and reads until it has `size` or there is an end.
  static std::string pass(std::string_view bytes, const UniqueFd& to, const UniqueFd& from,
                          size_t size = ~size_t{0}) {
    std::string got;
    std::array<char, 65536> piece;
    while (!bytes.empty() || got.size() < size) {
      std::array<pollfd, 2> waiting = {{{bytes.empty() ? -1 : to.get(), POLLOUT, 0},
                                        {got.size() < size ? from.get() : -1, POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), kBoundMs) <= 0) {
        ADD_FAILURE() << "stuck with " << bytes.size() << " bytes to go, " << got.size() << " come";
        break;
      }
      if (waiting[0].revents != 0) bytes.remove_prefix(fill(to, bytes));
      if (waiting[1].revents == 0) continue;
      const ssize_t n = ::read(from.get(), piece.data(), std::min(piece.size(), size - got.size()));
      if (n == 0) break;
      got.append(piece.data(), static_cast<size_t>(std::max<ssize_t>(n, 0)));
    }
    return got;
  }
  bool has_ended_in_order() {
    int status = 1;
    return ::waitpid(std::exchange(process_, -1), &status, 0) > 0 && status == 0;
  }

  const std::string up_ = text(kMuch, 31), down_ = text(kMuch, 37);
  UniqueFd stdin_, stdout_, service_;
  pid_t process_ = -1;
};

TEST_F(StdioRelayTest, WhatGoesUpDoesNotWaitForWhoDoesNotReadWhatComesDown) {
  start();
  const size_t sent = fill(service_, down_);
  ASSERT_LT(sent, kMuch);
  ASSERT_TRUE(pass(up_, stdin_, service_, kMuch) == up_);
  EXPECT_TRUE(pass(std::string_view(down_).substr(sent), service_, stdout_, kMuch) == down_);
}

TEST_F(StdioRelayTest, WhatComesDownDoesNotWaitForWhoDoesNotReadWhatGoesUp) {
  start();
  const size_t sent = fill(stdin_, up_);
  ASSERT_LT(sent, kMuch);
  ASSERT_TRUE(pass(down_, service_, stdout_, kMuch) == down_);
  EXPECT_TRUE(pass(std::string_view(up_).substr(sent), stdin_, service_, kMuch) == up_);
}

TEST_F(StdioRelayTest, TheEndOfStdinIsAHalfClose) {
  start();
  ASSERT_EQ(fill(stdin_, "question"), 8U);
  stdin_.reset();
  EXPECT_EQ(pass("", stdin_, service_), "question");
  EXPECT_TRUE(pass(down_, service_, stdout_, kMuch) == down_);
  service_.reset();
  EXPECT_EQ(pass("", service_, stdout_), "");
  EXPECT_TRUE(has_ended_in_order());
}

TEST_F(StdioRelayTest, TheServicesEndIsItsOwnBehindTheLastWords) {
  start();
  ASSERT_EQ(fill(service_, "last words"), 10U);
  service_.reset();
  EXPECT_EQ(pass("", service_, stdout_), "last words");
  EXPECT_TRUE(has_ended_in_order());
}

TEST_F(StdioRelayTest, ItEndsWhenNobodyIsThereToReadStdout) {
  start();
  stdout_.reset();
  ASSERT_EQ(fill(service_, "words"), 5U);
  EXPECT_EQ(pass("", service_, service_), "");
  EXPECT_TRUE(has_ended_in_order());
}

TEST_F(StdioRelayTest, StdinThatDoesNotBlockIsWaitedFor) {
  start(O_NONBLOCK);
  ASSERT_EQ(pass("one", stdin_, service_, 3), "one");
  EXPECT_EQ(pass("two", stdin_, service_, 3), "two");
}

}  // namespace
}  // namespace vch
