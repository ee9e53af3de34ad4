#include "vch/image/directory_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "vch/image/image_fixture.h"

namespace vch {
namespace {

using testing::ElementsAre;
namespace fs = std::filesystem;

class DirectorySourceTest : public testing::Test {
 protected:
  DirectorySourceTest() { fs::create_directories(root_); }

  std::string at(const std::string& name) const { return root_ + "/" + name; }

  common::Result<DirectorySource> scan() const { return DirectorySource::scan(root_); }
  std::string fingerprint() const { return scan()->fingerprint(); }

  // The digest of what went into the disk, else the error.
  std::string write_disk() {
    const auto source = scan();
    if (source.has_error()) return source.error().message();
    ::unlink(disk_.c_str());
    const auto digest = source->write_disk(disk_, {});
    return digest.has_error() ? digest.error().message() : *digest;
  }

  TestDir dir_;
  const std::string root_ = dir_ / "root";
  const std::string disk_ = dir_ / "disk";
};

TEST_F(DirectorySourceTest, BecomesADiskAsItIs) {
  fs::create_directories(at("d/e"));
  write_text(at("d/f"), "content");
  write_text(at(".wh.kept"), "no whiteout");
  fs::create_hard_link(at("d/f"), at("link"));
  fs::create_symlink("/etc/passwd", at("absolute"));
  fs::create_symlink(".", at("d/self"));
  fs::create_symlink("../../up", at("d/up"));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  ASSERT_EQ(::chmod(at("d/f").c_str(), 04711), 0);
  ASSERT_EQ(::chmod(at("d/e").c_str(), 01770), 0);
  const timespec times[2] = {{5, 0}, {1234567890, 500}};
  ASSERT_EQ(::utimensat(AT_FDCWD, at("d/f").c_str(), times, 0), 0);
  ASSERT_TRUE(write_disk().starts_with("sha256:"));
  const Disk disk = read_disk(disk_);
  EXPECT_THAT(paths_of(disk), ElementsAre("/.wh.kept", "/absolute", "/d", "/d/e", "/d/f", "/d/self",
                                          "/d/up", "/fifo", "/link"));
  EXPECT_EQ(disk.at("/d/f").content, "content");
  EXPECT_EQ(disk.at("/d/f").mode, S_IFREG | 04711U);
  EXPECT_EQ(disk.at("/d/f").mtime, 1234567890U);
  EXPECT_EQ(disk.at("/d/f").uid, ::getuid());
  EXPECT_EQ(disk.at("/d/f").links, 2U);
  EXPECT_EQ(disk.at("/link").inode, disk.at("/d/f").inode);
  EXPECT_EQ(disk.at("/d/e").mode, S_IFDIR | 01770U);
  EXPECT_EQ(disk.at("/absolute").target, "/etc/passwd");
  EXPECT_EQ(disk.at("/d/up").target, "../../up");
  EXPECT_TRUE(S_ISFIFO(disk.at("/fifo").mode));
}

TEST_F(DirectorySourceTest, KeepsExtendedAttributes) {
  write_text(at("f"), "x");
  if (::setxattr(at("f").c_str(), "user.k", "a\0b", 3, 0) != 0 && errno == ENOTSUP) {
    GTEST_SKIP() << "the file system has no user attributes";
  }
  ASSERT_TRUE(write_disk().starts_with("sha256:"));
  EXPECT_EQ(read_disk(disk_).at("/f").xattrs.at("user.k"), std::string("a\0b", 3));
}

TEST_F(DirectorySourceTest, HasADigestOfItsContentAlone) {
  write_text(at("f"), "one");
  const std::string first = write_disk();
  EXPECT_EQ(write_disk(), first);
  const fs::file_time_type time = fs::last_write_time(at("f"));
  write_text(at("f"), "two");
  fs::last_write_time(at("f"), time);
  EXPECT_NE(write_disk(), first);
}

TEST_F(DirectorySourceTest, HasAFingerprintThatSeesEveryChange) {
  write_text(at("f"), "one");
  std::string last = fingerprint();
  EXPECT_EQ(fingerprint(), last);
  const auto expect_change = [&](const char* what) {
    const std::string now = fingerprint();
    EXPECT_NE(now, last) << what;
    last = now;
  };
  ASSERT_EQ(::chmod(at("f").c_str(), 0600), 0);
  expect_change("mode");
  write_text(at("f"), "two");
  expect_change("content, by another inode");
  fs::rename(at("f"), at("g"));
  expect_change("name");
  fs::create_symlink("a", at("l"));
  expect_change("a new link");
  fs::remove(at("l"));
  expect_change("one gone");
}

TEST_F(DirectorySourceTest, RefusesAFileThatChangesMeanwhile) {
  write_text(at("f"), std::string(1000, 'x'));
  const auto source = scan();
  ASSERT_FALSE(source.has_error());
  write_text(at("f"), std::string(900, 'y'));
  EXPECT_EQ(message_of(source->write_disk(disk_, {})), at("f") + ": changed while it was read");
}

TEST_F(DirectorySourceTest, NeverFollowsALinkPutInTheWay) {
  fs::create_directories(at("d"));
  write_text(at("d/f"), "mine");
  write_text(dir_ / "secret", "host");
  const auto source = scan();
  ASSERT_FALSE(source.has_error());
  fs::remove_all(at("d"));
  fs::create_symlink(dir_.path(), at("d"));
  fs::copy_file(dir_ / "secret", dir_ / "f");
  EXPECT_EQ(message_of(source->write_disk(disk_, {})),
            "open " + at("d/f") + ": Too many levels of symbolic links");
}

TEST_F(DirectorySourceTest, NamesWhatCannotBeRead) {
  EXPECT_EQ(message_of(DirectorySource::scan(dir_ / "none")),
            "open " + dir_ / "none: No such file or directory");
  write_text(dir_ / "file", "x");
  EXPECT_EQ(message_of(DirectorySource::scan(dir_ / "file")),
            "open " + dir_ / "file: Not a directory");
}

// Takes away what lets root read everything.
void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  ASSERT_EQ(::syscall(SYS_capset, &header, none), 0);
}

TEST_F(DirectorySourceTest, NamesWhatItMayNotRead) {
  write_text(at("f"), "x");
  ASSERT_EQ(::chmod(at("f").c_str(), 0), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    drop_capabilities();
    write_text(dir_ / "report", write_disk());
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(read_text(dir_ / "report"), "open " + at("f") + ": Permission denied");
}

}  // namespace
}  // namespace vch
