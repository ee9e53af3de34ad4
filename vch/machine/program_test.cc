#include "vch/machine/program.h"

#include <signal.h>

#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

ProgramEnd shell(const std::string& script, int timeout_ms = 10000) {
  return want(run_program({"/bin/sh", "-c", script}, timeout_ms));
}

TEST(RunProgram, GivesOutputAndCode) {
  const auto end = shell("echo out; echo err >&2; cat; exit 7");
  EXPECT_EQ(end.output, "out\nerr\n");
  EXPECT_EQ(end.code, 7);
  EXPECT_EQ(shell("kill -TERM $$").code, 128 + SIGTERM);
}

TEST(RunProgram, KeepsALimitedPartOfMuchOutput) {
  const auto end = shell("head -c 1000000 /dev/zero; exit 3");
  EXPECT_EQ(end.output.size(), size_t{64} << 10U);
  EXPECT_EQ(end.code, 3);
}

TEST(RunProgram, DoesNotWaitForAChildThatHoldsItsOutput) {
  const auto end = shell("sleep 60 & echo $!");
  EXPECT_FALSE(end.timed_out);
  ::kill(std::stoi(end.output), SIGKILL);
}

TEST(RunProgram, KillsWhatTakesTooLong) {
  const auto end = shell("exec sleep 60", 20);
  EXPECT_TRUE(end.timed_out);
  EXPECT_EQ(end.code, 128 + SIGKILL);
}

TEST(RunProgram, ThatIsMissingIsAnError) {
  EXPECT_EQ(error_of(run_program({"/nowhere/x"}, 1000)),
            "run /nowhere/x: No such file or directory");
}

TEST(FindProgram, LooksInTheSbinDirectoriesToo) {
  const std::string before = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto found = find_program("mke2fs");
  const auto missing = find_program("qemu-system-x86_64");
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_TRUE(want(found).ends_with("sbin/mke2fs"));
  EXPECT_EQ(error_of(missing),
            "find the program qemu-system-x86_64: No such file or directory (not in PATH; install "
            "the package qemu-system-x86)");
}

TEST(LastLine, SkipsEmptyOnes) {
  EXPECT_EQ(last_line("first\nlast\n\n"), "last");
  EXPECT_EQ(last_line("only"), "only");
  EXPECT_EQ(last_line("\n"), "");
}

}  // namespace
}  // namespace vch
