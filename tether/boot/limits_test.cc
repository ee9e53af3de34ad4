#include "tether/boot/limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "common/io.h"
#include "tether/boot/online.h"

namespace tether {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::map<std::string, std::string> files(const protocol::pb::Resources& resources,
                                         const MachineSize& size) {
  std::map<std::string, std::string> out;
  for (const BootRow& row : limit_rows(resources, size)) {
    EXPECT_TRUE(row.fatal);
    EXPECT_EQ(row.stage, protocol::Stage::kCgroup);
    EXPECT_FALSE(row.hint.empty());
    out[std::filesystem::path(row.target).filename()] = row.text;
  }
  return out;
}

TEST(Limits, WithoutAnyTheMachineIsTheLimitAndTheAgentKeepsItsShare) {
  auto written = files({}, {256 * kMiB, 2, 2048});
  EXPECT_EQ(written["memory.max"], std::to_string(256 * kMiB - memory_reserve(256 * kMiB)));
  EXPECT_EQ(written["pids.max"], "1664");
  EXPECT_EQ(written["cpu.max"], "max 100000");
  EXPECT_EQ(written["cpu.weight"], "100");
  EXPECT_EQ(written["memory.low"], "0");
}

TEST(Limits, TheSmallerOfWishAndMachineCounts) {
  protocol::pb::Resources resources;
  resources.set_memory_max(64 * kMiB);
  resources.set_pids_max(100);
  resources.set_cpu_millis(1500);
  resources.set_cpu_weight(39);
  resources.set_memory_low(kMiB);
  auto written = files(resources, {256 * kMiB, 2, 2048});
  EXPECT_EQ(written["memory.max"], std::to_string(64 * kMiB));
  EXPECT_EQ(written["pids.max"], "100");
  EXPECT_EQ(written["cpu.max"], "150000 100000");
  EXPECT_EQ(written["cpu.weight"], "39");
  EXPECT_EQ(written["memory.low"], std::to_string(kMiB));
  resources.set_memory_max(uint64_t{1} << 40U);
  EXPECT_EQ(files(resources, {256 * kMiB, 2, 2048})["memory.max"],
            std::to_string(256 * kMiB - memory_reserve(256 * kMiB)));
}

TEST(Limits, AMachineTooSmallForAReserveHasNoLimitOfItsOwn) {
  EXPECT_EQ(files({}, {20 * kMiB, 1, 100})["memory.max"], "max");
  EXPECT_EQ(files({}, {})["memory.max"], "max");
}

TEST(Limits, AQuotaIsOnlyWrittenWhereTheMachineHasMore) {
  EXPECT_EQ(cpu_quota(0, 4), "max 100000");
  EXPECT_EQ(cpu_quota(2000, 2), "max 100000");
  EXPECT_EQ(cpu_quota(1999, 2), "199900 100000");
  EXPECT_EQ(cpu_quota(500, 0), "50000 100000");
}

TEST(Limits, ListsOfCpusAreCounted) {
  EXPECT_EQ(count_list("0\n"), 1U);
  EXPECT_EQ(count_list("0-3\n"), 4U);
  EXPECT_EQ(count_list("0-1,4,6-7\n"), 5U);
  EXPECT_EQ(count_list(""), 0U);
  EXPECT_EQ(count_list("\n"), 0U);
}

TEST(Limits, AnUpdateLeavesAloneWhatItDoesNotName) {
  protocol::pb::Resources now;
  now.set_memory_max(7);
  now.set_pids_max(8);
  protocol::pb::Resources update;
  update.set_pids_max(9);
  const auto merged = merge_limits(now, update);
  EXPECT_EQ(merged.memory_max(), 7U);
  EXPECT_EQ(merged.pids_max(), 9U);
}

// Four are possible, three are there.
class OnlineCpus : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tether-cpus-XXXXXX";
    sys_ = ::mkdtemp(name);
    write("possible", "0-3");
    for (const char* cpu : {"cpu0", "cpu1", "cpu2", "cpu3"}) {
      std::filesystem::create_directories(directory() + cpu);
    }
    write("cpu1/online", "0");
    write("cpu2/online", "1");
  }
  void TearDown() override { std::filesystem::remove_all(sys_); }
  std::string directory() const { return sys_ + "/devices/system/cpu/"; }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(directory());
    std::ofstream(directory() + file) << text;
  }
  std::string read(const std::string& file) const {
    return common::read_file(directory() + file).value();
  }
  std::string sys_;
};

TEST_F(OnlineCpus, AllAreWhenNobodyCounts) {
  ASSERT_TRUE(set_online_cpus(sys_, 0).has_value());
  EXPECT_EQ(read("cpu1/online") + read("cpu2/online"), "11");
}

TEST_F(OnlineCpus, AreWaitedForUntilEachHasItsFile) {
  EXPECT_TRUE(await_cpus(sys_, 0, 0).has_value());
  EXPECT_TRUE(await_cpus(sys_, 3, 0).has_value());
  // The fourth has a directory alone.
  const auto late = await_cpus(sys_, 4, 0);
  ASSERT_TRUE(late.has_error());
  EXPECT_EQ(late.error().detail, "4 are wanted, the machine has 3; ask again");
  std::thread plugging([this] { write("cpu3/online", "0"); });
  EXPECT_TRUE(await_cpus(sys_, 4, 60000).has_value());
  plugging.join();
  const auto never = await_cpus(sys_, 5, 60000);
  ASSERT_TRUE(never.has_error());
  EXPECT_EQ(never.error().detail, "5 are wanted, the machine has 4");
}

TEST_F(OnlineCpus, TheLowestNumbersFirst) {
  ASSERT_TRUE(set_online_cpus(sys_, 2).has_value());
  EXPECT_EQ(read("cpu1/online") + read("cpu2/online"), "10");
  ASSERT_TRUE(set_online_cpus(sys_, 1).has_value());
  EXPECT_EQ(read("cpu1/online") + read("cpu2/online"), "00");
  ASSERT_TRUE(set_online_cpus(sys_, 64).has_value());
  EXPECT_EQ(read("cpu1/online") + read("cpu2/online"), "11");
}

}  // namespace
}  // namespace tether
