#include "tether/supervisor/gathering.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

constexpr uint64_t kStart = 5000;

TEST(GatheringTest, KeystrokesAndLinesNowAndThenAreTakenAtOnce) {
  Gathering gathering;
  for (uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(gathering.on_output(kStart + i * 10));
}

TEST(GatheringTest, ALineInAFewPiecesIsTakenAtOnce) {
  Gathering gathering;
  for (uint64_t line = 0; line < 20; ++line) {
    for (uint32_t i = 0; i < Gathering::kInARow; ++i) {
      EXPECT_FALSE(gathering.on_output(kStart + line * 50));
    }
  }
}

TEST(GatheringTest, WritesWithoutAPauseGatherUntilThereIsOne) {
  Gathering gathering;
  uint64_t now = kStart;
  for (uint32_t i = 0; i <= Gathering::kInARow; ++i) gathering.on_output(++now);
  EXPECT_TRUE(gathering.on_output(now)) << "enough in a row";
  // What gathers comes less often.
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(gathering.on_output(now += Gathering::kPauseMs));
  EXPECT_FALSE(gathering.on_output(now + Gathering::kPauseMs + 1));
}

constexpr uint64_t kSome = 16 * 1024;

// So much each millisecond; true once it may rest.
bool goes_on(Pacing& pacing, uint64_t& now, uint64_t bytes, uint64_t input_ms = 0) {
  bool rests = false;
  for (uint64_t i = 0; i <= Pacing::kLongMs; ++i) rests = pacing.on_output(++now, bytes, input_ms);
  return rests;
}

TEST(PacingTest, WhatComesWithoutAPauseForLongIsReadByTheClockUntilThereIsOne) {
  Pacing pacing;
  uint64_t now = kStart;
  EXPECT_FALSE(pacing.on_output(now, kSome, 0));
  EXPECT_TRUE(goes_on(pacing, now, kSome));
  EXPECT_TRUE(pacing.on_output(now += Pacing::kRestMs, kSome, 0));
  EXPECT_FALSE(pacing.on_output(now += Pacing::kPauseMs + 1, kSome, 0));
}

TEST(PacingTest, LittleIsTakenAtOnceAndSoIsWhatFillsAPipe) {
  Pacing pacing;
  uint64_t now = kStart;
  EXPECT_FALSE(goes_on(pacing, now, Pacing::kLeast - 1));
  EXPECT_FALSE(goes_on(pacing, now, Pacing::kMost + 1));
}

TEST(PacingTest, AnAnswerToInputIsTakenAtOnce) {
  Pacing pacing;
  uint64_t now = kStart;
  EXPECT_FALSE(goes_on(pacing, now, kSome, now));
  EXPECT_TRUE(pacing.on_output(now, kSome, now - Pacing::kAnswerMs - 1));
}

}  // namespace
}  // namespace tether
