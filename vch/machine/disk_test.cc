#include "vch/machine/disk.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "vch/machine/program.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

class Disk : public StateTest {
 protected:
  // What `action` says in a mount namespace where `directory` is a file system of 100 KiB.
  std::string on_a_full_disk(const std::string& directory,
                             const std::function<std::string()>& action) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string said = enter_small(directory) ? action() : std::strerror(errno);
      (void)common::write_all(ends[1], said, "pipe");
      ::_exit(0);
    }
    ::close(ends[1]);
    std::array<char, 4096> text{};
    const ssize_t size = ::read(ends[0], text.data(), text.size());
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return {text.data(), static_cast<size_t>(std::max<ssize_t>(size, 0))};
  }

 private:
  // An ordinary user may mount where he is root of a namespace of his own.
  static bool tell(const std::string& file, const std::string& text) {
    const auto fd = common::open_file("/proc/self/" + file, O_WRONLY);
    return fd.has_value() && common::write_all(fd->get(), text, file).has_value();
  }
  static bool enter_small(const std::string& directory) {
    const bool root = ::geteuid() == 0;
    const std::string user = "0 " + std::to_string(::geteuid()) + " 1";
    const std::string group = "0 " + std::to_string(::getegid()) + " 1";
    if (::unshare(root ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0) return false;
    if (!root && !(tell("setgroups", "deny") && tell("uid_map", user) && tell("gid_map", group))) {
      return false;
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("small", directory.c_str(), "tmpfs", 0, "size=100k") == 0;
  }
};

std::string dump(const std::string& disk) {
  return want(run_program({want(find_program("debugfs")), "-R", "ls -p", disk}, 10000)).output;
}

TEST_F(Disk, IsSparseEmptyAndSound) {
  const std::string path = scratch_ + "/disk";
  ASSERT_TRUE(make_ext4_disk(path, uint64_t{10} << 30U).has_value());
  struct stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_size, off_t{10} << 30U);
  EXPECT_LT(found.st_blocks * 512, 1 << 20);
  EXPECT_EQ(dump(path).find("lost+found"), std::string::npos);
  EXPECT_NE(dump(path).find("/040755/0/0/../"), std::string::npos) << dump(path);
  const auto check = want(run_program({want(find_program("e2fsck")), "-fn", path}, 60000));
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST_F(Disk, MayBeSmallButNotTooSmall) {
  EXPECT_EQ(error_of(make_ext4_disk(scratch_ + "/a", kLeastDisk)), "no error");
  EXPECT_EQ(error_of(make_ext4_disk(scratch_ + "/b", 1000)),
            "make the disk " + scratch_ + "/b: Invalid argument (1000 bytes, want at least 4 MiB)");
  EXPECT_EQ(error_of(make_ext4_disk(scratch_ + "/a", kLeastDisk)),
            "make the disk " + scratch_ + "/a: File exists");
}

TEST_F(Disk, ThatTheHostCannotHoldLeavesNothing) {
  const std::string path = scratch_ + "/disk";
  const auto made = make_ext4_disk(path, uint64_t{1} << 62U);
  EXPECT_EQ(error_of(made), "make the disk " + path + ": File too large (4398046511104 MiB)");
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(Disk, IsLinkedWhereThatWorks) {
  const std::string to = scratch_ + "/second";
  ASSERT_TRUE(link_or_copy(image_, to).has_value());
  EXPECT_TRUE(std::filesystem::equivalent(image_, to));
  EXPECT_EQ(error_of(link_or_copy(scratch_ + "/none", to)),
            "link the image disk " + scratch_ + "/none: No such file or directory");
}

TEST_F(Disk, IsCopiedAcrossFileSystems) {
  std::string elsewhere = "/dev/shm/vch-XXXXXX";
  const common::UniqueFd fd(::mkstemp(elsewhere.data()));
  ASSERT_TRUE(common::write_all(fd.get(), "content", elsewhere).has_value());
  const auto copied = link_or_copy(elsewhere, scratch_ + "/copy");
  ::unlink(elsewhere.c_str());
  ASSERT_TRUE(copied.has_value());
  EXPECT_EQ(want(common::read_file(scratch_ + "/copy")), "content");
}

TEST_F(Disk, HolesAreCopiedAsHoles) {
  const std::string image = make_file("sparse", 8 << 20);
  const auto fd = want(common::open_file(image, O_WRONLY));
  ASSERT_EQ(::pwrite(fd.get(), "middle", 6, 4 << 20), 6);
  ASSERT_TRUE(copy_disk(image, scratch_ + "/copy").has_value());
  EXPECT_EQ(want(common::read_file(scratch_ + "/copy")), want(common::read_file(image)));
  struct stat about {};
  ASSERT_EQ(::stat((scratch_ + "/copy").c_str(), &about), 0);
  EXPECT_LT(about.st_blocks * 512, 1 << 20);
}

TEST_F(Disk, ThatDoesNotFitTheHostsIsOneLine) {
  const std::string place = scratch_ + "/small";
  std::filesystem::create_directory(place);
  EXPECT_EQ(on_a_full_disk(place,
                           [&] { return error_of(make_ext4_disk(place + "/disk", 10ULL << 30U)); }),
            "mke2fs " + place +
                "/disk: No space left on device while writing out and closing file system");
  const std::string image = make_file("big", 0);
  ASSERT_TRUE(common::write_all(want(common::open_file(image, O_WRONLY)).get(),
                                std::string(1 << 20, 'x'), image)
                  .has_value());
  EXPECT_EQ(on_a_full_disk(place, [&] { return error_of(link_or_copy(image, place + "/copy")); }),
            "copy the image disk " + image + ": No space left on device");
}

}  // namespace
}  // namespace vch
