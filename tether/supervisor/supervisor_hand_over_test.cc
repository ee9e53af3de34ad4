// A link process that is replaced though nothing is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class HandOver : public SupervisorFixture {
 protected:
  void replace() {
    boot_running();
    supervisor_.take_over("");
    ASSERT_EQ(hear(LinkType::kHandOver).size(), 1U);
  }
  void leave(LinkPiece what, uint64_t which) {
    LinkHeader header = message(LinkType::kPiece, 0, static_cast<uint32_t>(what));
    header.offset = which;
    say(header, {}, spec().get());
  }
  void finish() { say(message(LinkType::kHandedOver)); }
  bool killed() const {
    return std::find(system_.signals.begin(), system_.signals.end(),
                     std::pair(link_pid_, SIGKILL)) != system_.signals.end();
  }
  size_t found_by_successor() {
    restart_link();
    return hear(LinkType::kTakeOver).size();
  }
};

TEST_F(HandOver, ItsSuccessorFindsFirstOfAllWhatItLeft) {
  replace();
  EXPECT_FALSE(killed()) << "it goes on until it has left everything";
  leave(LinkPiece::kSshWire, 4);
  leave(LinkPiece::kSshRequests, 4);
  leave(LinkPiece::kState, 0);
  EXPECT_FALSE(killed());
  finish();
  EXPECT_TRUE(killed());
  restart_link();
  const auto heard = hear();
  ASSERT_GT(heard.size(), 3U);
  constexpr std::array<std::pair<LinkPiece, uint64_t>, 3> kLeft = {
      {{LinkPiece::kSshWire, 4}, {LinkPiece::kSshRequests, 4}, {LinkPiece::kState, 0}}};
  for (size_t i = 0; i < kLeft.size(); ++i) {
    EXPECT_EQ(heard[i].header.type, LinkType::kTakeOver);
    EXPECT_EQ(heard[i].header.value, static_cast<uint32_t>(kLeft[i].first));
    EXPECT_EQ(heard[i].header.offset, kLeft[i].second);
    EXPECT_EQ(heard[i].fds, 1U);
  }
  EXPECT_EQ(heard[3].header.type, LinkType::kRestarts);
  EXPECT_EQ(found_by_successor(), 0U) << "once";
}

TEST_F(HandOver, WhoDoesNotKnowWhatThatIsIsEndedInTheEndAndLeavesNothing) {
  replace();
  leave(LinkPiece::kSshWire, 4);
  system_.now += 3999;
  turn();
  EXPECT_FALSE(killed());
  system_.now += 1;
  turn();
  EXPECT_TRUE(killed());
  EXPECT_EQ(found_by_successor(), 0U);
}

TEST_F(HandOver, AHalfOfItIsNothing) {
  replace();
  leave(LinkPiece::kSshWire, 4);
  EXPECT_EQ(found_by_successor(), 0U);
}

TEST_F(HandOver, NobodyLeavesAnythingUnasked) {
  boot_running();
  leave(LinkPiece::kState, 0);
  finish();
  EXPECT_FALSE(killed());
  EXPECT_EQ(found_by_successor(), 0U);
}

TEST_F(HandOver, MoreThanThereCanBeIsNotTaken) {
  replace();
  for (uint64_t i = 0; i < kMaxLinkPieces + 5; ++i) leave(LinkPiece::kSshWire, i);
  finish();
  EXPECT_EQ(found_by_successor(), kMaxLinkPieces);
}

}  // namespace
}  // namespace tether
