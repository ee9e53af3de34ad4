#include "tether/link/stats.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "common/io.h"

namespace tether {
namespace {

using ::tether::v1::Stats;

common::UniqueFd file_with(const std::string& text) {
  common::UniqueFd fd(::memfd_create("stats", MFD_CLOEXEC));
  EXPECT_TRUE(common::write_all(fd.get(), text, "stats").has_value());
  return fd;
}

void use(StatsFiles& files, StatsFile which, const std::string& text) {
  files.use(static_cast<uint32_t>(which), file_with(text));
}

TEST(Stats, WhatTheKernelsFilesSayIsWhatIsTold) {
  StatsFiles files;
  use(files, StatsFile::kCpu,
      "usage_usec 300\nuser_usec 200\nsystem_usec 100\nnr_periods 5\nnr_throttled 2\n"
      "throttled_usec 77\n");
  use(files, StatsFile::kMemory, "4096\n");
  use(files, StatsFile::kMemoryDetail, "anon 5\ninactive_anon 9\ninactive_file 1024\n");
  use(files, StatsFile::kMemoryMax, "8192\n");
  use(files, StatsFile::kMemoryEvents, "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
  use(files, StatsFile::kPids, "7\n");
  use(files, StatsFile::kPidsMax, "100\n");
  use(files, StatsFile::kOnlineCpus, "0-2\n");
  const Stats stats = files.read();
  EXPECT_EQ(stats.cpu_us(), 300U);
  EXPECT_EQ(stats.cpu_user_us(), 200U);
  EXPECT_EQ(stats.cpu_system_us(), 100U);
  EXPECT_EQ(stats.cpu_throttled_us(), 77U);
  EXPECT_EQ(stats.memory(), 4096U);
  EXPECT_EQ(stats.memory_cache(), 1024U);
  EXPECT_EQ(stats.memory_max(), 8192U);
  EXPECT_EQ(stats.oom_kills(), 2U);
  EXPECT_EQ(stats.pids(), 7U);
  EXPECT_EQ(stats.pids_max(), 100U);
  EXPECT_EQ(stats.cpus(), 3U);
  EXPECT_GT(stats.wall_ns(), 0U);
}

TEST(Stats, WithoutALimitTheMachinesMemoryIsIt) {
  StatsFiles files;
  use(files, StatsFile::kMemoryMax, "max\n");
  EXPECT_GT(files.read().memory_max(), 0U);
}

TEST(Stats, FilesThatAreNotThereAreNotInvented) {
  StatsFiles files;
  files.use(99, file_with("usage_usec 1\n"));
  const Stats stats = files.read();
  EXPECT_EQ(stats.cpu_us(), 0U);
  EXPECT_EQ(stats.interfaces_size(), 0);
  EXPECT_EQ(stats.pressure_size(), 0);
}

TEST(Stats, BlockDevicesAreAddedUp) {
  Stats stats;
  add_block_stats(
      "254:0 rbytes=100 wbytes=1 rios=1 wios=0 dbytes=0 dios=0\n254:16 rbytes=20 wbytes=3\n7:0\n",
      stats);
  EXPECT_EQ(stats.block_read(), 120U);
  EXPECT_EQ(stats.block_written(), 4U);
}

TEST(Stats, InterfacesAreReadWithoutLoopback) {
  Stats stats;
  add_network_stats(
      "Inter-|   Receive                            |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
      "drop fifo colls carrier compressed\n"
      "    lo:      10       1    0    0    0     0          0         0       10       1    0    "
      "0 "
      "   0     0       0          0\n"
      "  eth0:    1000      10    0    3    0     0          0         0     2000      20    0    "
      "4 "
      "   0     0       0          0\n"
      "broken: 1 2 3\n",
      stats);
  ASSERT_EQ(stats.interfaces_size(), 1);
  EXPECT_EQ(stats.interfaces(0).name(), "eth0");
  EXPECT_EQ(stats.interfaces(0).received(), 1000U);
  EXPECT_EQ(stats.interfaces(0).received_packets(), 10U);
  EXPECT_EQ(stats.interfaces(0).received_dropped(), 3U);
  EXPECT_EQ(stats.interfaces(0).sent(), 2000U);
  EXPECT_EQ(stats.interfaces(0).sent_packets(), 20U);
  EXPECT_EQ(stats.interfaces(0).sent_dropped(), 4U);
}

TEST(Stats, PressureIsInHundredthsOfAPerCent) {
  Stats stats;
  add_pressure(
      "some avg10=1.50 avg60=12.05 avg300=100.00 total=123456\n"
      "full avg10=0.00 avg60=0.01 avg300=0.00 total=5\n",
      "memory", stats);
  ASSERT_EQ(stats.pressure_size(), 2);
  EXPECT_EQ(stats.pressure(0).average_10s(), 150U);
  EXPECT_EQ(stats.pressure(0).average_60s(), 1205U);
  EXPECT_EQ(stats.pressure(0).average_300s(), 10000U);
  EXPECT_EQ(stats.pressure(0).total_us(), 123456U);
  EXPECT_FALSE(stats.pressure(0).full());
  EXPECT_TRUE(stats.pressure(1).full());
  EXPECT_EQ(stats.pressure(1).average_60s(), 1U);
  EXPECT_EQ(stats.pressure(1).resource(), "memory");
}

}  // namespace
}  // namespace tether
