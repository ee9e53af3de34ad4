// What a machine without an input device has of one; tests/vm/survival_test.py presses a real one.
#include "tether/boot/power_button.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/input.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

namespace tether {
namespace {

class PowerButton : public testing::Test {
 protected:
  PowerButton() {
    folder_ = std::filesystem::temp_directory_path() / "power-XXXXXX";
    if (::mkdtemp(folder_.data()) == nullptr) ADD_FAILURE() << folder_;
  }
  ~PowerButton() override { std::filesystem::remove_all(folder_); }
  PowerButton(const PowerButton&) = delete;
  PowerButton& operator=(const PowerButton&) = delete;

  bool finds_one() {
    const PowerButtons found = open_power_buttons(folder_.c_str());
    return found[0] || found[1];
  }
  std::string folder_;
};

TEST_F(PowerButton, AMachineMayHaveNone) {
  EXPECT_FALSE(finds_one());
  std::filesystem::remove_all(folder_);
  EXPECT_FALSE(finds_one());
}

// As a privileged container may put there before an upgrade.
TEST_F(PowerButton, WhatIsNoInputDeviceIsNotEvenOpened) {
  const std::string fifo = folder_ + "/event0";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_directory(folder_ + "/linked");
  std::filesystem::create_symlink(fifo, folder_ + "/linked/event0");
  const common::UniqueFd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(watch.get(), fifo.c_str(), IN_OPEN), 0);
  EXPECT_FALSE(finds_one());
  const PowerButtons linked = open_power_buttons((folder_ + "/linked").c_str());
  EXPECT_FALSE(linked[0]);
  std::array<char, 4096> opened{};
  EXPECT_EQ(::read(watch.get(), opened.data(), opened.size()), -1);
  // The watch does hear of it.
  const common::UniqueFd other(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_GT(::read(watch.get(), opened.data(), opened.size()), 0);
}

}  // namespace
}  // namespace tether
