#include "common/fd_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <vector>

namespace common {
namespace {

// Which file it is; the same for each of its descriptors.
ino_t file_of(int fd) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 ? about.st_ino : 0;
}

class FdMessage : public testing::Test {
 protected:
  FdMessage() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) ::abort();
    here_.reset(ends[0]);
    there_.reset(ends[1]);
    for (UniqueFd& reader : readers_) {
      if (::pipe2(ends, O_CLOEXEC) != 0) ::abort();
      reader.reset(ends[0]);
      writers_.emplace_back(ends[1]);
    }
  }
  ssize_t send(size_t count) {
    std::vector<int> fds;
    for (size_t i = 0; i < count; ++i) fds.push_back(readers_.at(i).get());
    const std::array<iovec, 2> parts = {{{text_.data(), 3}, {text_.data() + 3, 2}}};
    return send_fds(here_.get(), parts, fds, MSG_DONTWAIT);
  }
  template <size_t kRoom>
  size_t receive(std::span<UniqueFd> into) {
    std::array<char, 16> bytes{};
    iovec part{bytes.data(), bytes.size()};
    FdRoom<kRoom> room;
    msghdr message = room.message(part);
    EXPECT_EQ(::recvmsg(there_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 5);
    EXPECT_STREQ(bytes.data(), "hello");
    return take_fds(message, into);
  }
  // Nobody reads the pipe with this number any more, once our own descriptor is closed.
  bool is_gone(size_t i) {
    readers_.at(i).reset();
    return ::write(writers_.at(i).get(), "x", 1) < 0 && errno == EPIPE;
  }

  UniqueFd here_, there_;
  std::array<UniqueFd, kMaxMessageFds + 1> readers_;
  std::vector<UniqueFd> writers_;
  std::string text_ = "hello";
};

TEST_F(FdMessage, CarriesAsManyDescriptorsAsItMayInOrder) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{5}, kMaxMessageFds}) {
    ASSERT_EQ(send(count), 5);
    std::array<UniqueFd, kMaxMessageFds> taken;
    ASSERT_EQ(receive<kMaxMessageFds>(taken), count);
    for (size_t i = 0; i < taken.size(); ++i) {
      EXPECT_EQ(file_of(taken[i].get()), i < count ? file_of(readers_[i].get()) : 0);
      EXPECT_EQ(::fcntl(taken[i].get(), F_GETFD), i < count ? FD_CLOEXEC : -1);
    }
  }
}

TEST_F(FdMessage, OfMoreThanItMayNothingIsSent) {
  EXPECT_EQ(send(kMaxMessageFds + 1), -1);
  EXPECT_EQ(errno, EINVAL);
  char byte = 0;
  EXPECT_EQ(::recv(there_.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(FdMessage, ToNobodyFailsWithoutASignal) {
  there_.reset();
  EXPECT_EQ(send(1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(FdMessage, WhatTheReceiverHasNoPlaceForIsClosed) {
  ::signal(SIGPIPE, SIG_IGN);
  ASSERT_EQ(send(4), 5);
  std::array<UniqueFd, 2> taken;
  EXPECT_EQ(receive<4>(taken), 2U);
  EXPECT_FALSE(is_gone(0));
  EXPECT_FALSE(is_gone(1));
  EXPECT_TRUE(is_gone(2));
  EXPECT_TRUE(is_gone(3));
}

// The kernel fills the padding too.
TEST_F(FdMessage, ASecondOneInTheRoomOfOneIsClosed) {
  ::signal(SIGPIPE, SIG_IGN);
  ASSERT_EQ(send(2), 5);
  UniqueFd taken;
  EXPECT_EQ(receive<1>({&taken, 1}), 1U);
  EXPECT_FALSE(is_gone(0));
  EXPECT_TRUE(is_gone(1));
}

// The kernel's word on the sender comes first.
TEST_F(FdMessage, OtherControlMessagesAreNotDescriptors) {
  const int on = 1;
  ASSERT_EQ(::setsockopt(there_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  ASSERT_EQ(send(1), 5);
  std::array<UniqueFd, 2> taken;
  ASSERT_EQ(receive<2 * kMaxMessageFds>(taken), 1U);
  EXPECT_EQ(file_of(taken[0].get()), file_of(readers_[0].get()));
}

}  // namespace
}  // namespace common
