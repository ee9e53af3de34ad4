#include "iso-builder/program.h"

#include <gtest/gtest.h>

namespace iso_builder {
namespace {

std::string ended(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& environment = {}) {
  const auto status = run_program(arguments, environment, "the-package");
  return status.has_value() ? "well" : status.error().message();
}

TEST(RunProgram, ItsEndIsReportedWithItsLastLine) {
  EXPECT_EQ(ended({"true"}), "well");
  EXPECT_EQ(ended({"sh", "-c", "echo first; echo why >&2; echo; exit 3"}),
            "run sh: exit code 3, it said: why");
  EXPECT_EQ(ended({"sh", "-c", "kill -9 $$"}), "run sh: signal 9, it said: ");
}

TEST(RunProgram, AMissingOneNamesItsPackage) {
  EXPECT_EQ(ended({"no-such-program"}),
            "run no-such-program: No such file or directory (install the package the-package)");
}

TEST(RunProgram, TheEnvironmentIsTheCallersWithTheChanges) {
  EXPECT_EQ(ended({"sh", "-c", "[ \"$A-$LC_ALL-$TZ\" = 1-C-UTC ] && [ -n \"$PATH\" ]"}, {"A=1"}),
            "well");
}

TEST(RunProgram, MuchOutputIsNoObstacle) {
  EXPECT_EQ(ended({"sh", "-c", "head -c 1000000 /dev/zero; echo; echo end; exit 1"}),
            "run sh: exit code 1, it said: end");
}

}  // namespace
}  // namespace iso_builder
