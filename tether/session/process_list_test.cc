#include "tether/session/process_list.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tether {
namespace {

// Fields 4 to 24 of /proc/PID/stat, with pts/3, 150 ticks of CPU time, start at 12345, 7 pages.
constexpr std::string_view kRest =
    " 1 40 40 34819 40 4194304 100 0 0 0 100 50 0 0 20 0 1 0 12345 1000000 7 0";
constexpr std::string_view kStatus = "Name:\tsh\nUid:\t33\t33\t33\t33\nNSpid:\t40\t5\n";

std::string stat_of(const std::string& name) { return "40 (" + name + ") S" + std::string(kRest); }

TEST(ProcessList, DescribesAProcess) {
  using std::literals::string_view_literals::operator""sv;
  const auto process = describe_process(stat_of("sh"), kStatus, "sh\0-c\0sleep 1\0"sv);
  ASSERT_TRUE(process);
  EXPECT_EQ(process->pid(), 40U);
  EXPECT_EQ(process->parent(), 1U);
  EXPECT_EQ(process->uid(), 33U);
  EXPECT_EQ(process->state(), "S");
  EXPECT_EQ(process->tty(), "pts/3");
  EXPECT_EQ(process->cpu_ms(), 150U * 1000U / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK)));
  EXPECT_EQ(process->rss(), 7U * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(process->command(), "sh -c sleep 1");
}

TEST(ProcessList, ANameMayHoldAnything) {
  const auto process = describe_process(stat_of("a) R 9 \x1b[31m("), kStatus, "");
  ASSERT_TRUE(process);
  EXPECT_EQ(process->parent(), 1U);
  EXPECT_EQ(process->command(), "[a) R 9 \\x1b[31m(]");
}

TEST(ProcessList, CommandLinesAreEscapedAndBounded) {
  const auto process = describe_process(stat_of("x"), kStatus, std::string(100000, '\x07'));
  ASSERT_TRUE(process);
  EXPECT_EQ(process->command().size(), kMostCommand);
  EXPECT_EQ(process->command().substr(0, 8), "\\x07\\x07");
}

TEST(ProcessList, WhatIsOfNoNamespaceOfItsOwnIsLeftOut) {
  EXPECT_FALSE(describe_process(stat_of("tether"), "Uid:\t0\nNSpid:\t40\n", ""));
  EXPECT_FALSE(describe_process("", kStatus, ""));
  EXPECT_FALSE(describe_process("40 (sh", kStatus, ""));
  EXPECT_FALSE(describe_process("40 (sh) S 1", kStatus, ""));
}

class ProcDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/proc-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    proc_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(proc_); }
  void add(int pid, int parent, const std::string& cgroup) const {
    const auto directory = proc_ / std::to_string(pid);
    std::filesystem::create_directory(directory);
    std::string stat = std::to_string(pid) + " (p) S" + std::string(kRest);
    stat.replace(stat.find(" 1 "), 3, " " + std::to_string(parent) + " ");
    std::ofstream(directory / "stat") << stat;
    std::ofstream(directory / "status") << kStatus;
    std::ofstream(directory / "cmdline") << "command" << '\0';
    std::ofstream(directory / "cgroup") << cgroup;
  }
  std::filesystem::path proc_;
};

TEST_F(ProcDirectoryTest, ListsTheGroupsOwnInOrderWithoutParentsOutside) {
  add(30, 1, "0::/container\n");
  add(4, 1, "0::/agent\n");
  add(200, 30, "0::/container/below\n");
  add(31, 30, "0::/container-not\n");
  const auto list = list_processes(proc_.string(), "/container");
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->process_size(), 2);
  EXPECT_EQ(list->process(0).pid(), 30U);
  EXPECT_EQ(list->process(0).parent(), 0U);
  EXPECT_EQ(list->process(1).pid(), 200U);
  EXPECT_EQ(list->process(1).parent(), 30U);
}

}  // namespace
}  // namespace tether
