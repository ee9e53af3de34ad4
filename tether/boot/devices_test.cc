#include "tether/boot/devices.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/io.h"

namespace tether {
namespace {

namespace fs = std::filesystem;

class Devices : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "devices.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
  }
  void TearDown() override { fs::remove_all(base_); }
  void add(const std::string& name, const std::string& serial) const {
    fs::create_directories(base_ / name);
    ASSERT_TRUE(
        common::write_file_atomically((base_ / name / "serial").string(), serial).has_value());
  }
  common::Result<std::string> find(const std::string& serial, const DeviceWait& wait) const {
    return find_device(base_.string(), "serial", serial, 1234, wait);
  }
  fs::path base_;
};

TEST_F(Devices, FindsByWholeValueWithOrWithoutANewline) {
  add("vda", "image2\n");
  add("vdb", "image");
  fs::create_directories(base_ / "loop0");
  const DeviceWait never = [](uint64_t) { return false; };
  EXPECT_EQ(*find("image", never), "vdb");
  EXPECT_EQ(*find("image2", never), "vda");
}

TEST_F(Devices, WaitsForWhatComesLate) {
  int waits = 0;
  const auto found = find("late", [&](uint64_t) {
    if (++waits == 3) add("vdc", "late");
    return waits < 10;
  });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(*found, "vdc");
  EXPECT_EQ(waits, 3);
}

TEST_F(Devices, GivesUpInTimeAndSaysWhatIsThereInstead) {
  add("vda", "writable");
  add("vdb", "image");
  const auto found = find("gone", [](uint64_t) { return false; });
  ASSERT_TRUE(found.has_error());
  EXPECT_EQ(found.error().code.value(), ENODEV);
  EXPECT_EQ(found.error().object, "gone");
  EXPECT_EQ(found.error().detail, "not within 1234 ms; attached: 'image' 'writable'");
}

TEST_F(Devices, NoSuchDirectoryIsNoDevice) {
  const auto found =
      find_device((base_ / "none").string(), "serial", "x", 1, [](uint64_t) { return false; });
  EXPECT_EQ(found.error().detail, "not within 1 ms; none is attached");
}

}  // namespace
}  // namespace tether
