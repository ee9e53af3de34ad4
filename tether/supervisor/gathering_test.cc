#include "tether/supervisor/gathering.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

constexpr uint64_t kStart = 5000;

TEST(GatheringTest, KeystrokesAndLinesNowAndThenAreTakenAtOnce) {
  Gathering gathering;
  for (uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(gathering.on_bytes(kStart + i * 10, 1));
}

TEST(GatheringTest, ALineInAFewPiecesIsTakenAtOnce) {
  Gathering gathering;
  for (uint64_t line = 0; line < 20; ++line) {
    for (uint32_t i = 0; i < Gathering::kInARow; ++i) {
      EXPECT_FALSE(gathering.on_bytes(kStart + line * 50, 100));
    }
  }
}

TEST(GatheringTest, WritesWithoutAPauseGatherUntilThereIsOne) {
  Gathering gathering;
  uint64_t now = kStart;
  for (uint32_t i = 0; i <= Gathering::kInARow; ++i) gathering.on_bytes(++now, 100);
  EXPECT_TRUE(gathering.on_bytes(now, 100)) << "enough in a row";
  // What gathers comes less often.
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(gathering.on_bytes(now += Gathering::kPauseMs, 100));
  EXPECT_FALSE(gathering.on_bytes(now + Gathering::kPauseMs + 1, 100));
}

TEST(GatheringTest, MuchAtOnceGathersThoughItComesSlowly) {
  Gathering gathering;
  uint64_t now = kStart;
  for (uint32_t i = 0; i <= Gathering::kInARow; ++i) {
    gathering.on_bytes(now += Gathering::kBulkMs / 2, Gathering::kBulk);
  }
  EXPECT_TRUE(gathering.on_bytes(now += Gathering::kBulkMs, Gathering::kBulk));
  EXPECT_FALSE(gathering.on_bytes(now + Gathering::kPauseMs + 1, 1)) << "a keystroke behind it";
}

}  // namespace
}  // namespace tether
