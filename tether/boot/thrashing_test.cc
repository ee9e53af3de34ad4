#include "tether/boot/thrashing.h"

#include <gtest/gtest.h>

#include <string>

namespace tether {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20U;

TEST(ThrashWatch, WantsSomeNoticesBehindEachOther) {
  ThrashWatch watch;
  uint64_t now = 100000;
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i < ThrashWatch::kInRow; ++i) EXPECT_FALSE(watch.on_notice(now += 1000)) << i;
    EXPECT_TRUE(watch.on_notice(now += 1000)) << "and begins anew";
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(watch.on_notice(now += ThrashWatch::kMostApartMs + 1)) << "with rest in between";
  }
}

std::string stat(uint64_t anon_mib, uint64_t file_mib) {
  return "anon " + std::to_string(anon_mib * kMiB) + "\nfile " + std::to_string(file_mib * kMiB) +
         "\nanon_thp 99999999999\nkernel_stack 1048576\nshmem 0\nslab_unreclaimable 0\n";
}

TEST(Thrashing, SomebodyIsKilledOnlyWhereWhatIsHeldFillsTheLimit) {
  EXPECT_EQ(held_memory(stat(60, 3)), 61 * kMiB);
  const auto lower = killing_limit(stat(60, 3), 64 * kMiB);
  ASSERT_TRUE(lower.has_value());
  EXPECT_LT(*lower, 61 * kMiB) << "or nobody would be";
  EXPECT_GT(*lower, 60 * kMiB) << "or somebody else as well";
  EXPECT_FALSE(killing_limit(stat(30, 33), 64 * kMiB)) << "caches can go";
  EXPECT_FALSE(killing_limit(stat(60, 3), 0)) << "there is no limit";
  EXPECT_FALSE(killing_limit("", 64 * kMiB));
}

}  // namespace
}  // namespace tether
