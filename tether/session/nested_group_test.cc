#include "tether/session/nested_group.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tether {
namespace {

class NestedGroup : public testing::Test {
 protected:
  NestedGroup() {
    std::string form = testing::TempDir() + "/nested-group-XXXXXX";
    top_ = ::mkdtemp(form.data());
    std::filesystem::create_directories(top_ / "container/system.slice/a b.service");
    std::filesystem::create_directories(top_ / "agent");
    std::filesystem::create_directory_symlink(top_ / "agent", top_ / "container/link");
    group_.reset(::open((top_ / "container").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~NestedGroup() override { std::filesystem::remove_all(top_); }

  // What is opened for a process whose cgroup file says this, from the top; "": nothing.
  std::string opened(const std::string& text) {
    const auto path = top_ / "cgroup";
    std::ofstream(path) << text;
    const common::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const common::UniqueFd found = open_nested_group(group_.get(), file.get());
    if (!found) return "";
    const auto place =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(found.get()));
    return std::filesystem::relative(place, std::filesystem::canonical(top_)).string();
  }

  std::filesystem::path top_;
  common::UniqueFd group_;
};

TEST_F(NestedGroup, IsTheOneThatTheFileNames) {
  EXPECT_EQ(opened("0::/container/system.slice\n"), "container/system.slice");
  EXPECT_EQ(opened("0::/container/system.slice/a b.service\n"),
            "container/system.slice/a b.service");
}

TEST_F(NestedGroup, IsNeverOneOutside) {
  EXPECT_EQ(opened("0::/agent\n"), "");
  EXPECT_EQ(opened("0::/container\n"), "");
  EXPECT_EQ(opened("0::/container/\n"), "");
  EXPECT_EQ(opened("0::/container2/x\n"), "");
  EXPECT_EQ(opened("0::/container/../agent\n"), "");
  EXPECT_EQ(opened("0::/container/link\n"), "");
  EXPECT_EQ(opened("0::/container//agent\n"), "");
  EXPECT_EQ(opened("0::/container/gone (deleted)\n"), "");
  EXPECT_EQ(opened("0::/container/system.slice"), "") << "cut short";
  EXPECT_EQ(opened(""), "");
}

TEST(ProcessBehindAPidfd, IsTold) {
  const common::UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  EXPECT_EQ(pid_of(self.get()), ::getpid());
  const common::UniqueFd none(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(pid_of(none.get()), 0);
  EXPECT_TRUE(open_cgroup_file(::getpid()));
}

}  // namespace
}  // namespace tether
