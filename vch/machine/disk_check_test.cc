#include "vch/machine/disk_check.h"

#include <gmock/gmock.h>

#include "vch/machine/disk.h"
#include "vch/machine/program.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DiskCheck : public StateTest {
 protected:
  void SetUp() override {
    disk_ = scratch_ + "/disk";
    ASSERT_TRUE(make_ext4_disk(disk_, uint64_t{16} << 20U).has_value());
  }
  void debugfs(const std::string& command) {
    const auto end =
        want(run_program({want(find_program("debugfs")), "-w", "-R", command, disk_}, 60000));
    ASSERT_EQ(end.code, 0) << end.output;
  }
  void overwrite(off_t at, const std::string& bytes) {
    const auto fd = want(common::open_file(disk_, O_WRONLY));
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), at),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string disk_;
};

TEST_F(DiskCheck, ACleanDiskIsNothingToTell) {
  EXPECT_EQ(want(check_ext4_disk(disk_, "volume data")), "");
}

TEST_F(DiskCheck, WhatWasNotUnmountedIsLookedAtInSilence) {
  debugfs("ssv state 0");
  EXPECT_EQ(want(check_ext4_disk(disk_, "volume data")), "");
  EXPECT_EQ(want(check_ext4_disk_fully(disk_, "volume data", false)), "");
}

TEST_F(DiskCheck, WhatIsSafeToRepairIsRepairedAndTold) {
  debugfs("ssv free_blocks_count 17");
  debugfs("ssv state 2");
  EXPECT_THAT(want(check_ext4_disk(disk_, "volume data")),
              HasSubstr("the file system of volume data was damaged and is repaired"));
  EXPECT_EQ(want(check_ext4_disk(disk_, "volume data")), "");
}

TEST_F(DiskCheck, WhatIsBeyondThatIsRefusedByName) {
  debugfs("write /etc/passwd keep");
  debugfs("unlink keep");  // a file without a name
  debugfs("ssv state 2");
  EXPECT_THAT(error_of(check_ext4_disk(disk_, "volume data")),
              AllOf(HasSubstr("volume data"), HasSubstr("--repair")));
  EXPECT_THAT(want(check_ext4_disk_fully(disk_, "volume data", true)), HasSubstr("repaired"));
  EXPECT_EQ(want(check_ext4_disk_fully(disk_, "volume data", false)), "");
}

TEST_F(DiskCheck, WhatIsNoFileSystemIsRefused) {
  overwrite(0, std::string(size_t{16} << 20U, 'x'));
  EXPECT_THAT(error_of(check_ext4_disk(disk_, "volume data")), HasSubstr("volume data"));
}

}  // namespace
}  // namespace vch
