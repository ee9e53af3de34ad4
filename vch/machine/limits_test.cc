#include "vch/machine/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vch {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kHost = 2048 * kMiB;

struct Applied {
  ContainerSpec spec;
  protocol::pb::Resources resources;
  common::Status done = {};
};

Applied apply(const LimitOptions& options, ContainerSpec spec = {}) {
  Applied out{std::move(spec), {}};
  out.done = apply_limits(options, kHost, out.spec, out.resources);
  return out;
}

void expect_refused(const LimitOptions& options, const char* flag, const char* why) {
  const Applied applied = apply(options);
  ASSERT_TRUE(applied.done.has_error());
  EXPECT_EQ(applied.done.error().operation, flag);
  EXPECT_THAT(applied.done.error().detail, testing::HasSubstr(why));
}

TEST(Limits, WithoutFlagsAMachineIsSmallAndCanGrowFourfold) {
  const Applied applied = apply({});
  ASSERT_TRUE(applied.done.has_value());
  EXPECT_EQ(applied.spec.memory, 256 * kMiB);
  EXPECT_EQ(applied.spec.memory_top, 1024 * kMiB);
  EXPECT_EQ(applied.spec.cpus, 1U);
  EXPECT_EQ(applied.spec.cpus_top, kPreparedCpus);
  EXPECT_EQ(applied.resources.memory_max(), 256 * kMiB);
  EXPECT_EQ(applied.resources.cpu_millis(), 0U);
  EXPECT_EQ(applied.resources.pids_max(), 0U);
}

TEST(Limits, AFractionOfACpuIsAWholeOneAndAQuota) {
  const Applied applied = apply({.cpus = "1.5"});
  EXPECT_EQ(applied.spec.cpus, 2U);
  EXPECT_EQ(applied.resources.cpu_millis(), 1500U);
}

TEST(Limits, CpusAreReadExactly) {
  for (const auto& [text, millis] : {std::pair{"1", 1000U},
                                     {"0.5", 500U},
                                     {".5", 500U},
                                     {"0.01", 10U},
                                     {"2.125", 2125U},
                                     {"64", 64000U}}) {
    const auto read = parse_cpus(text);
    ASSERT_TRUE(read.has_value()) << text;
    EXPECT_EQ(*read, millis) << text;
  }
  for (const char* text : {"", "0", "0.009", "x", "1.", "1.5x", "-1", "65", "1.2345", "64.001"}) {
    EXPECT_TRUE(parse_cpus(text).has_error()) << text;
  }
}

TEST(Limits, WhatDoesNotFitIsRefusedByItsFlag) {
  expect_refused({.memory = "4m"}, "--memory", "want between 42m and 2048m");
  expect_refused({.memory = "x"}, "--memory", "want a number");
  expect_refused({.memory = "512m", .memory_max = "256m"}, "--memory-max", "--memory, 512m");
  expect_refused({.memory = "64m", .memory_reservation = "65m"}, "--memory-reservation",
                 "--memory, 64m");
  expect_refused({.cpus = "nine"}, "--cpus", "1.5");
  expect_refused({.cpus = "4", .cpus_max = 3}, "--cpus-max", "--cpus, 4");
  expect_refused({.cpus_max = 65}, "--cpus-max", "64");
  expect_refused({.cpu_shares = 1}, "--cpu-shares", "2 to 262144");
  expect_refused({.pids_limit = -2}, "--pids-limit", "-1");
}

TEST(Limits, AnUpdateChangesWhatItNames) {
  ContainerSpec spec = apply({.memory = "128m", .cpus = "2", .cpus_max = 3}).spec;
  const Applied applied = apply({.memory = "200m", .pids_limit = -1}, spec);
  ASSERT_TRUE(applied.done.has_value());
  EXPECT_EQ(applied.spec.memory, 200 * kMiB);
  EXPECT_EQ(applied.spec.memory_top, 512 * kMiB);
  EXPECT_EQ(applied.spec.cpus, 2U);
  EXPECT_EQ(applied.spec.cpus_top, 3U);
  EXPECT_EQ(applied.resources.pids_max(), UINT32_MAX);
}

TEST(Limits, TheMachineIsNeverPreparedForMoreThanTheHostHas) {
  EXPECT_EQ(apply({.memory = "1g"}).spec.memory_top, kHost);
}

TEST(Limits, SharesAreWeights) {
  EXPECT_EQ(weight_of_shares(2), 1U);
  EXPECT_EQ(weight_of_shares(1024), 39U);
  EXPECT_EQ(weight_of_shares(262144), 10000U);
}

}  // namespace
}  // namespace vch
