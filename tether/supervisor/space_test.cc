#include "tether/supervisor/space.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

using protocol::Trouble;

struct statfs with(uint64_t blocks_left, uint64_t inodes_left) {
  struct statfs out {};
  out.f_blocks = 1000;
  out.f_bavail = blocks_left;
  out.f_files = 1000;
  out.f_ffree = inodes_left;
  return out;
}

TEST(SpaceWatch, SaysOnceThatItIsFullAndAgainAfterThereWasRoom) {
  SpaceWatch watch;
  EXPECT_EQ(watch.look(with(500, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(10, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(9, 500), 0), Trouble::kSpace);
  EXPECT_EQ(watch.look(with(0, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(49, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(0, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(50, 500), 0), Trouble::kNone);
  EXPECT_EQ(watch.look(with(0, 500), 0), Trouble::kSpace);
}

TEST(SpaceWatch, InodesCountToo) {
  SpaceWatch watch;
  EXPECT_EQ(watch.look(with(0, 0), 0), Trouble::kSpace);
  EXPECT_EQ(watch.look(with(0, 0), 0), Trouble::kInodes);
  EXPECT_EQ(watch.look(with(0, 0), 0), Trouble::kNone);
}

TEST(SpaceWatch, ADiskThatGivesErrorsHasFailed) {
  SpaceWatch watch;
  EXPECT_EQ(watch.look(with(500, 500), 3), Trouble::kNone) << "those of a life before";
  EXPECT_EQ(watch.look(with(500, 500), 4), Trouble::kFailed);
  EXPECT_EQ(watch.look(with(500, 500), 5), Trouble::kNone);
}

TEST(SpaceWatch, WhatIsNotCountedIsNotMissed) {
  SpaceWatch watch;
  struct statfs uncounted {};
  EXPECT_EQ(watch.look(uncounted, 0), Trouble::kNone);
}

}  // namespace
}  // namespace tether
