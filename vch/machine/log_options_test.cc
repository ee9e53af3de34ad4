#include "vch/machine/log_options.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

TEST(LogOptions, AreDockersAloneOrSeveralAtOnce) {
  ContainerSpec spec;
  ASSERT_TRUE(set_log_options({"max-size=10m,max-file=5"}, spec).has_value());
  EXPECT_EQ(spec.journal_max_size, uint64_t{10} << 20U);
  EXPECT_EQ(spec.journal_max_files, 5U);
  ASSERT_TRUE(set_log_options({"max-size=64k", "max-file=1"}, spec).has_value());
  EXPECT_EQ(spec.journal_max_size, 65536U);
  EXPECT_EQ(spec.journal_max_files, 1U);
}

TEST(LogOptions, WhatMakesNoSenseIsRefusedByName) {
  for (const char* text : {"", "max-size", "max-size=", "max-size=1k", "max-size=x", "max-file=0",
                           "max-file=65", "max-file=1x", "labels=a", "max-file=2,"}) {
    ContainerSpec spec;
    const auto done = set_log_options({text}, spec);
    ASSERT_TRUE(done.has_error()) << text;
    EXPECT_EQ(done.error().operation, "--log-opt") << text;
  }
}

}  // namespace
}  // namespace vch
