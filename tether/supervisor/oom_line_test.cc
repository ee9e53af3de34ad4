#include "tether/supervisor/oom_line.h"

#include <gtest/gtest.h>

#include <string>

namespace tether {
namespace {

TEST(OomLine, NamesTheProcessThatTheKernelKilled) {
  const auto line = parse_oom_line(
      "3,812,4711,-;Out of memory: Killed process 57 (tail) total-vm:1048576kB, anon-rss:1kB\n");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->pid, 57U);
  EXPECT_EQ(line->name, "tail");
  const auto group = parse_oom_line(
      "3,1,2,-;Memory cgroup out of memory: Killed process 9 (a) (b\\x0a) total-vm:1kB");
  ASSERT_TRUE(group);
  EXPECT_EQ(group->name, "a) (b\\x0a");
}

TEST(OomLine, BelievesNobodyButTheKernelAndNoOtherForm) {
  for (const char* record :
       {"", "3", "3,1,2,-;", "11,1,2,-;Out of memory: Killed process 57 (tail) total-vm:1kB",
        "-3,1,2,-;Out of memory: Killed process 57 (tail) total-vm:1kB",
        "3,1,2,-;oom-kill: Killed process 57 (tail) total-vm:1kB",
        "3,1,2,-;Out of memory: Killed process x (tail) total-vm:1kB",
        "3,1,2,-;Out of memory: Killed process 99999999999 (tail) total-vm:1kB",
        "3,1,2,-;Out of memory: Killed process 57 (tail"}) {
    EXPECT_FALSE(parse_oom_line(record)) << record;
  }
  EXPECT_FALSE(parse_oom_line("3,1,2,-;Out of memory: Killed process 57 (" + std::string(65, 'n') +
                              ") total-vm:1kB"));
}

TEST(OomKills, AreCountedFromTheGroupsEvents) {
  EXPECT_EQ(parse_oom_kills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\noom_group_kill 0\n"), 5U);
  EXPECT_EQ(parse_oom_kills("low 0\noom_kill"), 0U);
  EXPECT_EQ(parse_oom_kills(""), 0U);
}

}  // namespace
}  // namespace tether
