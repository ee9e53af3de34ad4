#include "tether/session/environment.h"

#include <gtest/gtest.h>

#include "protocol/capabilities.h"

namespace tether {
namespace {

using Env = std::vector<std::string>;

TEST(Environment, WhatIsMissingIsAdded) {
  EXPECT_EQ(complete_environment({"A=1"}, "box", "/root", false),
            (Env{"A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "HOSTNAME=box", "HOME=/root"}));
}

TEST(Environment, WhatIsThereStays) {
  const Env given = {"HOME=/h", "PATH=", "HOSTNAME=other", "TERM=vt100"};
  EXPECT_EQ(complete_environment(given, "box", "/root", true), given);
}

TEST(Environment, ATerminalHasAType) {
  const Env env = complete_environment({}, "", "/", true);
  EXPECT_EQ(*find_variable(env, "TERM"), "xterm");
  EXPECT_FALSE(find_variable(env, "HOSTNAME"));
}

TEST(Environment, TheLastEntryCountsAndNamesMatchWhole) {
  const Env env = {"AB=0", "A=1", "A=2=3"};
  EXPECT_EQ(*find_variable(env, "A"), "2=3");
  EXPECT_FALSE(find_variable(env, "B"));
}

TEST(Privileges, AreDockersDefault) {
  EXPECT_EQ(protocol::default_capabilities(), 0x00000000a80425fbU);
}

}  // namespace
}  // namespace tether
