#include "vch/cli/stats_text.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/result.h"

namespace vch {
namespace {

using tether::v1::Stats;

TEST(StatsText, SizesReadAsDockers) {
  EXPECT_EQ(binary_size(0), "0B");
  EXPECT_EQ(binary_size(1536), "1.5KiB");
  EXPECT_EQ(binary_size(uint64_t{256} << 20U), "256MiB");
  EXPECT_EQ(binary_size(1023), "1023B");
  EXPECT_EQ(decimal_size(999), "999B");
  EXPECT_EQ(decimal_size(1230), "1.23kB");
  EXPECT_EQ(decimal_size(45678901), "45.7MB");
  EXPECT_EQ(per_cent(1.5), "150.00%");
}

TEST(StatsText, TheShareIsThatOfOneCpu) {
  Stats before, now;
  before.set_wall_ns(1000000000);
  before.set_cpu_us(500000);
  now.set_wall_ns(2000000000);
  now.set_cpu_us(2000000);
  EXPECT_DOUBLE_EQ(*cpu_share(before, now), 1.5);
  EXPECT_FALSE(cpu_share(now, before));  // It was started again.
  EXPECT_FALSE(cpu_share(now, now));
}

TEST(StatsText, ARowHasDockersColumnsAndTheNumbers) {
  Stats before, now;
  before.set_wall_ns(1);
  now.set_wall_ns(1000000001);
  now.set_cpu_us(250000);
  now.set_memory(uint64_t{64} << 20U);
  now.set_memory_cache(uint64_t{32} << 20U);
  now.set_memory_max(uint64_t{128} << 20U);
  now.set_pids(3);
  now.set_block_read(2000);
  auto& eth0 = *now.add_interfaces();
  eth0.set_name("eth0\x1b");
  eth0.set_received(1500);
  for (const char* resource : {"cpu", "memory", "io"}) {
    auto& row = *now.add_pressure();
    row.set_resource(resource);
    row.set_average_10s(125);
  }
  const auto row = stats_row(std::string(64, 'a'), "web", &before, &now);
  EXPECT_EQ(row["ID"], std::string(12, 'a'));
  EXPECT_EQ(row["CPUPerc"], "25.00%");
  EXPECT_EQ(row["MemUsage"], "32MiB / 128MiB");
  EXPECT_EQ(row["MemPerc"], "25.00%");
  EXPECT_EQ(row["NetIO"], "1.5kB / 0B");
  EXPECT_EQ(row["BlockIO"], "2kB / 0B");
  EXPECT_EQ(row["PIDs"], "3");
  EXPECT_EQ(row["Pressure"], "1.25% / 1.25% / 1.25%");
  EXPECT_EQ(row["Raw"]["CpuUs"], 250000);
  EXPECT_EQ(row["Raw"]["Interfaces"][0]["Name"], "eth0\\x1b");
  for (const auto& [member, value] : row.items()) {
    EXPECT_TRUE(stats_heading().contains(member)) << member;
  }
}

TEST(StatsText, OfWhomNothingIsKnownNothingIsSaid) {
  const auto row = stats_row("id", "web", nullptr, nullptr);
  EXPECT_EQ(row["CPUPerc"], "--");
  EXPECT_TRUE(row["Raw"].is_null());
  Stats first;
  EXPECT_EQ(stats_row("id", "web", nullptr, &first)["CPUPerc"], "--");
}

TEST(HostileFigures, StatsOfAnyNumbersAndNamesArePlain) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  Stats before, now;
  before.set_wall_ns(1);
  now.set_wall_ns(2);
  now.set_cpu_us(kMost);
  now.set_memory(kMost);
  now.set_memory_cache(1);
  now.set_memory_max(1);
  now.set_block_read(kMost);
  for (int i = 0; i < 2; ++i) {  // whose sum overflows
    auto& card = *now.add_interfaces();
    card.set_name("\x1b]0;owned\a\r\n\xff");
    card.set_received(kMost);
  }
  auto& pressure = *now.add_pressure();
  pressure.set_resource("\x1b[2J\xc2\x9b");
  pressure.set_average_10s(std::numeric_limits<uint32_t>::max());
  auto& full = *now.add_pressure();
  full.set_resource("cpu");
  full.set_average_10s(std::numeric_limits<uint32_t>::max());
  const auto row = stats_row(std::string(64, 'a'), "web", &before, &now);
  for (const auto& [member, value] : row.items()) {
    if (!value.is_string()) continue;
    EXPECT_EQ(common::escape(value.get<std::string>()), value) << member;
  }
  const std::string text = row.dump();  // throws where a name is not UTF-8
  EXPECT_EQ(common::escape(text), text);
}

}  // namespace
}  // namespace vch
