// Output that is read by the clock while its process writes little at a time and much in all.
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class SupervisorPacingTest : public SupervisorFixture {
 protected:
  void SetUp() override { boot_running(); }
  // Of the primary's stdout, as the link process was told since the last time.
  uint64_t head() {
    for (const Heard& heard : hear(LinkType::kHead)) {
      if (heard.header.stream == 1) head_ = heard.header.offset;
    }
    return head_;
  }
  void print_some() {
    written_ += kSome.size();
    print(primary(), kSome);
  }
  // Without a pause for as long as it takes.
  void print_on() {
    for (uint64_t i = 0; i <= Pacing::kLongMs; ++i) {
      ++system_.now;
      print_some();
    }
    ASSERT_EQ(head(), written_);
  }
  FakeSystem::Spawned& primary() {
    for (FakeSystem::Spawned& one : system_.spawned) {
      if (one.role == "launch" && !one.stays) return one;
    }
    ADD_FAILURE() << "nobody launched it";
    return newest();
  }

  const std::string kSome = std::string(Pacing::kLeast, 'x');
  uint64_t written_ = 0;
  uint64_t head_ = 0;
};

TEST_F(SupervisorPacingTest, IsReadWhenTheTimeComesAndNotBefore) {
  print_on();
  for (int rest = 0; rest < 3; ++rest) {
    const uint64_t before = written_;
    print_some();
    print_some();
    EXPECT_EQ(head(), before);
    system_.now += Pacing::kRestMs;
    EXPECT_EQ(head(), written_);
  }
}

TEST_F(SupervisorPacingTest, IsTakenAtOnceAgainBehindARestWithoutAny) {
  print_on();
  system_.now += Pacing::kRestMs;
  turn();
  print_some();
  EXPECT_EQ(head(), written_);
}

TEST_F(SupervisorPacingTest, ItsEndInARestIsSeen) {
  print_on();
  print_some();
  end(primary_pid_, primary(), 3 << 8);
  const auto told = hear();
  ASSERT_EQ(only(told, LinkType::kExit).size(), 1U);
  for (const Heard& heard : only(told, LinkType::kHead)) {
    if (heard.header.stream == 1) head_ = heard.header.offset;
  }
  EXPECT_EQ(head_, written_);
}

TEST_F(SupervisorPacingTest, APipeThatOnlyEndsInARestIsSeenToEnd) {
  print_on();
  primary().fds.at(1).reset();
  system_.now += Pacing::kRestMs;
  bool ended = false;
  for (const Heard& heard : hear(LinkType::kHead)) {
    ended |= heard.header.stream == 1 && heard.header.value == 1;
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace tether
