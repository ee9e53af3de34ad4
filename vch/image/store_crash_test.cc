// The store among several processes, some of which die.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/io.h"
#include "vch/image/image_fixture.h"
#include "vch/image/image_store.h"

namespace vch {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
namespace fs = std::filesystem;

// Runs in a child; gives back its exit status.
int in_child(const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(work());
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class StoreCrash : public testing::Test {
 protected:
  StoreCrash() {
    std::string noise;
    for (uint32_t x = 1; noise.size() < (4U << 20U); x = x * 1664525 + 1013904223) {
      noise += static_cast<char>(x >> 24U);
    }
    source_ = write_layout(dir_ / "layout", {{file("noise", noise), file("small", "s")}});
  }

  TestDir dir_;
  std::string source_;
};

TEST_F(StoreCrash, ManyAtOnceMakeOneDisk) {
  constexpr int kProcesses = 6;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      bool made = false;
      auto store = ImageStore::open(dir_ / "store");
      const auto image = store.has_error()
                             ? common::Result<Image>(store.error())
                             : store->import(source_, "name" + std::to_string(i),
                                             [&made](std::string_view step, uint64_t, uint64_t) {
                                               made = made || step == "writing disk";
                                             });
      ::_exit(image.has_error() ? 2 : (made ? 1 : 0));
    }
    children.push_back(pid);
  }
  int made = 0;
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_LT(WEXITSTATUS(status), 2);
    made += WEXITSTATUS(status);
  }
  EXPECT_EQ(made, 1);
  EXPECT_THAT(list_directory(dir_ / "store/disks"), SizeIs(1));
  EXPECT_THAT(list_directory(dir_ / "store/tmp"), IsEmpty());
  EXPECT_THAT(*ImageStore::open(dir_ / "store")->list(), SizeIs(kProcesses));
}

TEST_F(StoreCrash, LeavesNothingThatTheNextUseDoesNotClean) {
  const int status = in_child([this] {
    auto store = ImageStore::open(dir_ / "store");
    (void)store->import(source_, "x", [](std::string_view step, uint64_t, uint64_t) {
      if (step == "writing disk") ::kill(::getpid(), SIGKILL);
    });
    return 0;
  });
  EXPECT_EQ(status, 128 + SIGKILL);
  EXPECT_THAT(list_directory(dir_ / "store/tmp"), SizeIs(1));
  write_text(dir_ / "store/names.json.a1b2c3", "half");
  write_text(dir_ / "store/images/00.json.a1b2c3", "half");
  auto store = ImageStore::open(dir_ / "store");
  ASSERT_FALSE(store.has_error()) << message_of(store);
  EXPECT_THAT(list_directory(dir_ / "store/tmp"), IsEmpty());
  EXPECT_THAT(list_directory(dir_ / "store/images"), IsEmpty());
  EXPECT_FALSE(fs::exists(dir_ / "store/names.json.a1b2c3"));
  const auto image = store->import(source_, "x", {});
  ASSERT_FALSE(image.has_error()) << message_of(image);
  EXPECT_EQ(read_disk(image->disk).at("/small").content, "s");
}

TEST_F(StoreCrash, DoesNotTakeTheWorkOfTheLivingForLeftovers) {
  auto store = ImageStore::open(dir_ / "store");
  ASSERT_FALSE(store.has_error());
  int others = 0;
  const auto image = store->import(source_, "x", [&](std::string_view step, uint64_t, uint64_t) {
    if (step != "writing disk" || others++ > 0) return;
    EXPECT_EQ(in_child([this] { return ImageStore::open(dir_ / "store").has_error() ? 1 : 0; }), 0);
  });
  EXPECT_GT(others, 0);
  ASSERT_FALSE(image.has_error()) << message_of(image);
  EXPECT_EQ(read_disk(image->disk).at("/small").content, "s");
}

bool write_proc(const char* path, const std::string& text) {
  const auto fd = common::open_file(path, O_WRONLY);
  return !fd.has_error() && !common::write_all(fd->get(), text, path).has_error();
}

// Into a mount namespace of one's own, where one may mount.
bool enter_mount_namespace() {
  const std::string uid = std::to_string(::getuid());
  const std::string gid = std::to_string(::getgid());
  if (uid == "0") {
    if (::unshare(CLONE_NEWNS) != 0) return false;
  } else if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
             !write_proc("/proc/self/setgroups", "deny") ||
             !write_proc("/proc/self/uid_map", "0 " + uid + " 1") ||
             !write_proc("/proc/self/gid_map", "0 " + gid + " 1")) {
    return false;
  }
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

constexpr int kCannotMount = 77;

int on_small_disk(const std::string& at, const std::function<int()>& work) {
  return in_child([&] {
    if (!enter_mount_namespace()) return kCannotMount;
    fs::create_directories(at);
    if (::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=1m") != 0) return kCannotMount;
    return work();
  });
}

TEST_F(StoreCrash, AFullDiskIsOneLineAndLeavesNothing) {
  const std::string report = dir_ / "report";
  const std::string disk = dir_ / "small";
  const int status = on_small_disk(disk, [&] {
    auto store = ImageStore::open(disk + "/store");
    if (store.has_error()) return 2;
    std::string text;
    for (const std::string& source : {source_, "dir:" + dir_ / "layout"}) {
      text += message_of(store->import(source, "x", {})) + "\n";
    }
    for (const char* name : {"/store/tmp", "/store/disks", "/store/images"}) {
      for (const auto& left : list_directory(disk + name)) text += "left: " + left + "\n";
    }
    return common::write_file_atomically(report, text).has_error() ? 1 : 0;
  });
  if (status == kCannotMount) GTEST_SKIP() << "may not mount here";
  ASSERT_EQ(status, 0);
  const std::string text = read_text(report);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_THAT(text, testing::MatchesRegex("(write .*/small/store/tmp/.*/disk: No space left on "
                                          "device\n)+"));
}

}  // namespace
}  // namespace vch
