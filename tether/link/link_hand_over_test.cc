// A link process goes on with the SSH logins of another, over the same byte link.
#include <unistd.h>

#include <boost/asio/write.hpp>

#include "tether/link/link_hand_over_fixture.h"

namespace tether {
namespace {

namespace asio = boost::asio;

std::string pseudo_random(size_t size, uint32_t state) {
  std::string out(size, '\0');
  for (char& byte : out) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return out;
}

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

}  // namespace
}  // namespace tether
