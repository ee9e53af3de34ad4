#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

constexpr uint64_t kSecond = 1000000000;

class ClockTest : public SupervisorFixture {
 protected:
  // What it reads after the step.
  uint64_t step(int64_t add_ns) {
    LinkHeader header = message(LinkType::kStepClock, 0, 0, 5);
    header.offset = static_cast<uint64_t>(add_ns);
    say(header);
    const auto told = hear(LinkType::kClock);
    EXPECT_EQ(told.size(), 1U);
    EXPECT_EQ(told.at(0).header.writer[0], 5U);
    return told.at(0).header.offset;
  }
};

TEST_F(ClockTest, ItIsReadAndSteppedBothWays) {
  boot_running();
  const uint64_t start = clock_.now;
  EXPECT_EQ(step(0), start);
  EXPECT_EQ(clock_.steps, 0);
  EXPECT_EQ(step(-400000000), start - 400000000);
  EXPECT_EQ(step(3600 * kSecond), start - 400000000 + 3600 * kSecond);
  EXPECT_EQ(clock_.steps, 2);
}

TEST_F(ClockTest, ItIsNotTakenOutOfAllReason) {
  boot_running();
  const uint64_t start = clock_.now;
  for (const int64_t add :
       {INT64_MAX, INT64_MIN, -static_cast<int64_t>(start),
        -static_cast<int64_t>(800000000 * kSecond), static_cast<int64_t>(3600000000 * kSecond)}) {
    EXPECT_EQ(step(add), start) << add;
  }
}

TEST_F(ClockTest, AClockThatCannotBeSetIsToldAsItIs) {
  boot_running();
  clock_.stuck = true;
  EXPECT_EQ(step(static_cast<int64_t>(kSecond)), clock_.now);
}

}  // namespace
}  // namespace tether
