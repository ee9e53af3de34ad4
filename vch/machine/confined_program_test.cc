#include "vch/machine/confined_program.h"

#include <linux/landlock.h>
#include <sys/syscall.h>

#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

class Confined : public StateTest {
 protected:
  ProgramEnd sh(const std::string& script) {
    return want(run_confined({"/bin/sh", "-c", script}, image_, 20000));
  }
};

TEST_F(Confined, GivesExitCodeAndOutput) {
  const ProgramEnd end = sh("echo out; echo err >&2; exit 3");
  EXPECT_EQ(end.code, 3);
  EXPECT_EQ(end.output, "out\nerr\n");
}

TEST_F(Confined, WritesNothingButItsFile) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
    GTEST_SKIP() << "this kernel has no Landlock";
  }
  EXPECT_EQ(sh("echo x >" + image_).code, 0);
  EXPECT_NE(sh("echo x >" + iso_).code, 0);
  EXPECT_NE(sh("read line <" + iso_).code, 0);
  EXPECT_NE(sh(": >" + scratch_ + "/new").code, 0);
}

TEST_F(Confined, HasABoundOnMemory) { EXPECT_EQ(sh("ulimit -v").output, "2097152\n"); }

}  // namespace
}  // namespace vch
