#include "tether/boot/root_plan.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "tether/boot/fake_boot_system.h"

namespace tether {
namespace {

using protocol::Stage;

const DiskFinder kAllThere = [](const std::string& serial) -> common::Result<std::string> {
  return "/dev/" + serial;
};

protocol::pb::Root root(bool writable) {
  protocol::pb::Root out;
  out.mutable_image()->set_serial("image");
  out.mutable_image()->set_file_system("squashfs");
  if (writable) {
    out.mutable_writable()->set_serial("rw");
    out.mutable_writable()->set_file_system("ext4");
  }
  return out;
}

TEST(RootPlan, ADiskIsNamedByTheSerialThatPeopleKnow) {
  const auto rows = root_rows(root(true), kAllThere);
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(*rows, system).has_value());
  FakeBootSystem failing;
  failing.fail_call(system.position("mount /dev/image"), EINVAL);
  const auto done = run_rows(*rows, failing);
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kMountImage);
  EXPECT_EQ(done.error().error.message(), "mount image: Invalid argument (squashfs on /dev/image)");
}

TEST(RootPlan, TheImageIsNeverMountedWritable) {
  const auto rows = root_rows(root(true), kAllThere);
  for (const BootRow& row : *rows) {
    if (row.source == "/dev/image") {
      EXPECT_NE(row.flags & MS_RDONLY, 0U);
    }
  }
}

TEST(RootPlan, WithoutAWritableDiskItIsMemory) {
  const auto rows = root_rows(root(false), kAllThere);
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(*rows, system).has_value());
  EXPECT_TRUE(system.did("mount tmpfs /run/tether/writable"));
  EXPECT_LT(system.position("mount tmpfs"), system.position("mount overlay"));
}

TEST(RootPlan, MemoryInsteadOfADiskHasTheSizeThatWasAskedFor) {
  protocol::pb::Root small = root(false);
  small.set_tmpfs_size(4096);
  const auto rows = root_rows(small, kAllThere);
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(*rows, system).has_value());
  EXPECT_TRUE(system.did("mount tmpfs /run/tether/writable mode=0755,size=4096"));
}

TEST(RootPlan, ADiskThatIsTheRootItselfHasNothingAboveIt) {
  protocol::pb::Root direct;
  direct.mutable_image()->set_serial("image");
  direct.mutable_image()->set_file_system("ext4");
  direct.set_direct(true);
  const auto rows = root_rows(direct, kAllThere);
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(*rows, system).has_value());
  EXPECT_TRUE(system.did("mount /dev/image /run/tether/root"));
  EXPECT_FALSE(system.did("mount overlay"));
  EXPECT_EQ(rows->back().flags & MS_RDONLY, 0U);
}

TEST(RootPlan, AMissingDiskIsAStageOfItsOwn) {
  for (const char* missing : {"image", "rw"}) {
    const auto rows =
        root_rows(root(true), [&](const std::string& serial) -> common::Result<std::string> {
          if (serial == missing) return common::make_error(ENODEV, "find", serial);
          return "/dev/" + serial;
        });
    ASSERT_TRUE(rows.has_error());
    EXPECT_EQ(rows.error().stage, Stage::kFindDisk);
    EXPECT_EQ(rows.error().error.object, missing);
  }
}

TEST(RootPlan, VolumesAreMountedAPathBeforeWhatLiesBelow) {
  protocol::pb::ContainerVm config;
  for (const char* path : {"/data/deep", "/a", "/data", "/data-2"}) {
    auto* volume = config.add_volumes();
    volume->set_path(path);
    volume->mutable_disk()->set_serial(path + 1);
  }
  config.mutable_volumes(1)->set_read_only(true);
  const auto volumes = volume_mounts(config, kAllThere);
  ASSERT_TRUE(volumes.has_value());
  ASSERT_EQ(volumes->size(), 4U);
  EXPECT_EQ((*volumes)[0].path, "/a");
  EXPECT_NE((*volumes)[0].flags & MS_RDONLY, 0U);
  EXPECT_FALSE((*volumes)[0].fill);
  EXPECT_EQ((*volumes)[1].path, "/data");
  EXPECT_EQ((*volumes)[1].flags & MS_RDONLY, 0U);
  EXPECT_TRUE((*volumes)[1].fill);
  EXPECT_EQ((*volumes)[2].path, "/data-2");
  EXPECT_EQ((*volumes)[3].path, "/data/deep");
  EXPECT_EQ((*volumes)[3].device, "/dev/data/deep");
}

TEST(RootPlan, AVolumeInMemoryIsForDataUnlessMoreIsAllowed) {
  protocol::pb::Volume volume;
  volume.set_path("/t");
  auto& tmpfs = *volume.mutable_tmpfs();
  tmpfs.set_size(65536);
  const auto plain = volume_mount(volume, kAllThere);
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->flags, unsigned{MS_NOEXEC | MS_NOSUID | MS_NODEV});
  EXPECT_EQ(plain->options, "mode=1777,size=65536");
  EXPECT_FALSE(plain->fill);
  tmpfs.set_mode(0750);
  tmpfs.set_uid(3);
  tmpfs.set_gid(4);
  tmpfs.set_inodes(5);
  tmpfs.set_allow_exec(true);
  tmpfs.set_allow_suid(true);
  tmpfs.set_allow_devices(true);
  const auto more = volume_mount(volume, kAllThere);
  EXPECT_EQ(more->flags, 0U);
  EXPECT_EQ(more->options, "mode=750,size=65536,nr_inodes=5,uid=3,gid=4");
}

}  // namespace
}  // namespace tether
