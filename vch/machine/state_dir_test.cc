#include "vch/machine/state_dir.h"

#include <sys/stat.h>

#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

class StateDirectory : public StateTest {
 protected:
  void TearDown() override {
    ::unsetenv("VCH_STATE");
    ::unsetenv("XDG_DATA_HOME");
  }
};

TEST_F(StateDirectory, IsMadeForItsOwnerAlone) {
  const StateDir state = want(open_state_dir(scratch_ + "/a/b/"));
  EXPECT_EQ(state.root, scratch_ + "/a/b");
  struct stat found {};
  for (const auto& path :
       {state.root, state.images(), state.volumes(), state.containers(), state.host()}) {
    ASSERT_EQ(::stat(path.c_str(), &found), 0) << path;
    EXPECT_EQ(found.st_mode & 0777U, 0700U) << path;
  }
  EXPECT_TRUE(open_state_dir(scratch_ + "/a/b").has_value());
}

TEST_F(StateDirectory, ComesFromTheEnvironmentWhenNoneIsGiven) {
  ::setenv("VCH_STATE", (scratch_ + "/env").c_str(), 1);
  EXPECT_EQ(want(open_state_dir("")).root, scratch_ + "/env");
  EXPECT_EQ(want(open_state_dir(scratch_ + "/flag")).root, scratch_ + "/flag");
}

TEST_F(StateDirectory, IsAbsoluteHoweverItIsGiven) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scratch_);
  const auto state = open_state_dir("relative/../here");
  std::filesystem::current_path(before);
  EXPECT_EQ(want(state).root, scratch_ + "/here");
}

TEST_F(StateDirectory, ThatCannotBeMadeSaysWhatToDo) {
  EXPECT_EQ(error_of(open_state_dir("/proc/vch")),
            "create the state directory /proc/vch: No such file or directory (choose another with "
            "--state or VCH_STATE)");
  EXPECT_EQ(error_of(open_state_dir(image_)),
            "use the state directory " + image_ +
                ": Not a directory (choose another with --state or VCH_STATE)");
}

}  // namespace
}  // namespace vch
