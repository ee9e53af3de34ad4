#include "tether/supervisor/gathering.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

constexpr uint64_t kStart = 5000;

TEST(GatheringTest, KeystrokesAndLinesNowAndThenAreTakenAtOnce) {
  Gathering gathering;
  for (uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(gathering.on_bytes(kStart + i * 10));
}

TEST(GatheringTest, ALineInAFewPiecesIsTakenAtOnce) {
  Gathering gathering;
  for (uint64_t line = 0; line < 20; ++line) {
    for (uint32_t i = 0; i < Gathering::kInARow; ++i) {
      EXPECT_FALSE(gathering.on_bytes(kStart + line * 50));
    }
  }
}

TEST(GatheringTest, WritesWithoutAPauseGatherUntilThereIsOne) {
  Gathering gathering;
  uint64_t now = kStart;
  for (uint32_t i = 0; i <= Gathering::kInARow; ++i) gathering.on_bytes(++now);
  EXPECT_TRUE(gathering.on_bytes(now)) << "enough in a row";
  // What gathers comes less often.
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(gathering.on_bytes(now += Gathering::kPauseMs));
  EXPECT_FALSE(gathering.on_bytes(now + Gathering::kPauseMs + 1));
}

}  // namespace
}  // namespace tether
