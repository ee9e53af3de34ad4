#include "vch/migration/target_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/io.h"
#include "vch/machine/lock.h"
#include "vch/migration/migrate.h"

namespace vch {
namespace {

namespace fs = std::filesystem;

constexpr const char* kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

class TargetDirectory : public testing::Test {
 protected:
  void SetUp() override {
    std::string root = fs::temp_directory_path() / "vch-test-XXXXXX";
    ASSERT_NE(nullptr, ::mkdtemp(root.data()));
    root_ = root;
    for (const char* side : {"a", "b"}) {
      for (const char* folder : {"containers", "volumes"}) {
        fs::create_directories(root_ + "/" + side + "/" + folder);
      }
    }
    record_ = {kId, root_ + "/a/containers", root_ + "/b/containers", {}};
    source_.directory = record_.at_source();
    source_.spec.id = kId;
    source_.spec.name = "box";
    fs::create_directories(source_.directory);
    for (const char* name : {"container.json", "writable.ext4", "journal", "journal.1",
                             "machine.lock", "qemu.log", "migration.lock", "console.log"}) {
      write(source_.directory, name, name);
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  static void write(const std::string& directory, const std::string& name,
                    const std::string& text) {
    ASSERT_TRUE(common::write_file_atomically(directory + "/" + name, text, 0600).has_value());
  }
  static ino_t inode(const std::string& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 ? found.st_ino : 0;
  }
  bool shared(const std::string& name) const {
    const ino_t there = inode(record_.incoming() + "/" + name);
    return there != 0 && there == inode(source_.directory + "/" + name);
  }
  Container incoming() const { return {source_.spec, record_.incoming()}; }

  std::string root_;
  MigrationRecord record_;
  Container source_;
};

TEST_F(TargetDirectory, SharesTheContainersFilesAndNoLockOfAProcess) {
  ASSERT_TRUE(make_incoming(source_, record_).has_value());
  for (const char* name : {"container.json", "writable.ext4", "journal", "journal.1", "console.log",
                           "migration.lock", "attended.lock", "change.lock"}) {
    EXPECT_TRUE(shared(name)) << name;
  }
  for (const char* name : {"machine.lock", "qemu.log"}) {
    EXPECT_EQ(inode(record_.incoming() + "/" + name), 0U) << name;
  }
  EXPECT_FALSE(is_committed(record_));
  const auto read = read_record(record_.incoming());
  ASSERT_TRUE(read.has_value() && *read);
  EXPECT_EQ((*read)->source, record_.source);
}

TEST_F(TargetDirectory, FollowsWhatTheJournalHasBecome) {
  ASSERT_TRUE(make_incoming(source_, record_).has_value());
  fs::remove(source_.file("journal"));
  write(source_.directory, "journal.2", "more");
  write(source_.directory, "journal.past", "past");
  fs::rename(source_.file("console.log"), source_.file("console.log.1"));
  write(source_.directory, "console.log", "new");
  const auto changes = bring_up_to_date(source_, incoming());
  ASSERT_TRUE(changes.has_value()) << changes.error().message();
  EXPECT_EQ(changes->journal, 2U);
  EXPECT_TRUE(changes->console);
  for (const char* name :
       {"journal.1", "journal.2", "journal.past", "console.log", "console.log.1"}) {
    EXPECT_TRUE(shared(name)) << name;
  }
  EXPECT_FALSE(fs::exists(record_.incoming() + "/journal"));
  const auto again = bring_up_to_date(source_, incoming());
  ASSERT_TRUE(again.has_value());
  EXPECT_FALSE(again->console);
}

TEST_F(TargetDirectory, VolumesAreTheSameUnderTheSameNameAndGoWithAnAbort) {
  const std::string volume = root_ + "/a/volumes/data";
  fs::create_directories(volume);
  write(volume, "volume.json", R"({"size": 5, "created_ns": 6})");
  write(volume, "disk.ext4", "disk");
  write(volume, "lock", "");
  VolumeMount mount;
  mount.volume = "data";
  source_.spec.volumes = {mount};
  ASSERT_TRUE(make_incoming(source_, record_).has_value());
  const std::string there = root_ + "/b/volumes/data/";
  EXPECT_EQ(inode(there + "disk.ext4"), inode(volume + "/disk.ext4"));
  EXPECT_EQ(inode(there + "lock"), inode(volume + "/lock"));
  ASSERT_TRUE(remove_incoming(record_).has_value());
  EXPECT_FALSE(fs::exists(there));
  EXPECT_FALSE(fs::exists(record_.incoming()));
  EXPECT_TRUE(fs::exists(volume + "/disk.ext4"));
  EXPECT_TRUE(fs::exists(source_.file("writable.ext4")));
}

TEST_F(TargetDirectory, AnotherVolumeOfTheNameIsInTheWayAndStays) {
  for (const char* side : {"a", "b"}) {
    const std::string volume = root_ + "/" + side + "/volumes/data";
    fs::create_directories(volume);
    write(volume, "volume.json", R"({"size": 5, "created_ns": 6})");
    write(volume, "disk.ext4", side);
    write(volume, "lock", "");
  }
  VolumeMount mount;
  mount.volume = "data";
  source_.spec.volumes = {mount};
  const auto made = make_incoming(source_, record_);
  ASSERT_TRUE(made.has_error());
  EXPECT_EQ(made.error().code, std::errc::file_exists);
  ASSERT_TRUE(remove_incoming(record_).has_value());
  EXPECT_TRUE(fs::exists(root_ + "/b/volumes/data/disk.ext4"));
}

TEST_F(TargetDirectory, ALinkTakesThePlaceOfWhatHasLeft) {
  ASSERT_TRUE(make_incoming(source_, record_).has_value());
  fs::rename(record_.incoming(), record_.at_target());
  EXPECT_TRUE(is_committed(record_));
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(leave_link(record_).has_value());
    EXPECT_TRUE(is_link(record_.at_source()));
    EXPECT_TRUE(is_directory(record_.left_behind()));
    EXPECT_EQ(fs::canonical(record_.at_source()), record_.at_target());
  }
  // Who comes by the old name is told of the new place, or gets there.
  const ContainerStore store(StateDir{root_ + "/a"});
  write(record_.at_target(), "container.json",
        R"({"id": ")" + std::string(kId) + R"(", "name": "box"})");
  const auto found = store.find("box");
  ASSERT_TRUE(found.has_error());
  EXPECT_NE(found.error().message().find("vch --state " + root_ + "/b`"), std::string::npos)
      << found.error().message();
  EXPECT_TRUE(store.list()->empty());
  const auto now = whereabouts(source_);
  ASSERT_TRUE(now.has_value());
  EXPECT_EQ(now->container.directory, record_.at_target());
  EXPECT_EQ(now->state.root, root_ + "/b");
}

TEST_F(TargetDirectory, WhatBrokeOffIsUndoneUnlessSomebodyIsAtWork) {
  ASSERT_TRUE(make_incoming(source_, record_).has_value());
  for (const char* side : {"/a", "/b"}) {
    const auto at_work = take_lock(source_.file(kMigrationLock));
    ASSERT_TRUE(at_work.has_value());
    settle_migrations(StateDir{root_ + side}, "/bin/false");
    EXPECT_TRUE(fs::exists(record_.incoming()));
  }
  settle_migrations(StateDir{root_ + "/b"}, "/bin/false");
  EXPECT_FALSE(fs::exists(record_.incoming()));
  EXPECT_FALSE(fs::exists(source_.file(kMigrationRecord)));
  EXPECT_TRUE(fs::exists(source_.file("writable.ext4")));
}

TEST_F(TargetDirectory, WhatBrokeOffBehindThePointOfNoReturnIsFinished) {
  for (const char* side : {"/a", "/b"}) {
    record_.volumes.clear();
    ASSERT_TRUE(make_incoming(source_, record_).has_value());
    fs::rename(record_.incoming(), record_.at_target());
    settle_migrations(StateDir{root_ + side}, "/bin/false");
    EXPECT_TRUE(is_link(record_.at_source())) << side;
    EXPECT_FALSE(fs::exists(record_.left_behind())) << side;
    EXPECT_FALSE(fs::exists(record_.at_target() + "/" + kMigrationRecord)) << side;
    EXPECT_TRUE(fs::exists(record_.at_target() + "/writable.ext4")) << side;
    fs::remove(record_.at_source());
    fs::rename(record_.at_target(), record_.at_source());
  }
}

}  // namespace
}  // namespace vch
