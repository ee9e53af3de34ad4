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

TEST(RootPlan, EveryRowsFailureHasItsStageAndObject) {
  for (const bool writable : {false, true}) {
    const auto rows = root_rows(root(writable), kAllThere);
    ASSERT_TRUE(rows.has_value());
    for (size_t n = 0; n < rows->size(); ++n) {
      FakeBootSystem system;
      system.fail_call(n, EIO);
      const auto done = run_rows(*rows, system);
      ASSERT_TRUE(done.has_error()) << n;
      EXPECT_EQ(done.error().stage, (*rows)[n].stage);
      EXPECT_NE(done.error().stage, Stage::kEarlyMounts);
      EXPECT_EQ(system.calls.size(), n + 1);
    }
  }
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
  EXPECT_TRUE((*volumes)[0].read_only);
  EXPECT_EQ((*volumes)[1].path, "/data");
  EXPECT_FALSE((*volumes)[1].read_only);
  EXPECT_EQ((*volumes)[2].path, "/data-2");
  EXPECT_EQ((*volumes)[3].path, "/data/deep");
  EXPECT_EQ((*volumes)[3].device, "/dev/data/deep");
}

}  // namespace
}  // namespace tether
