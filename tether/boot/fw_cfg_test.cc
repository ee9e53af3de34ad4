#include "tether/boot/fw_cfg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace tether {
namespace {

std::string big_endian(uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xffU);
  return out;
}

// Items as the device has them; bytes past an item's end are zero, without a device all ones.
class FakePort : public FwCfgPort {
 public:
  FakePort() { items_[0x0000] = "QEMU"; }
  void add(const std::string& name, const std::string& content) {
    const auto item = static_cast<uint16_t>(0x20 + files_);
    items_[item] = content;
    std::string padded = name;
    padded.resize(56, '\0');
    entries_ += big_endian(static_cast<uint32_t>(content.size()), 4) + big_endian(item, 2) +
                big_endian(0, 2) + padded;
    items_[0x0019] = big_endian(++files_, 4) + entries_;
  }
  void set(uint16_t item, std::string content) { items_[item] = std::move(content); }
  void remove_device() { present_ = false; }
  void select(uint16_t item) override {
    item_ = item;
    at_ = 0;
  }
  void read(std::span<char> out) override {
    for (char& byte : out) {
      const std::string& content = items_[item_];
      byte = !present_ ? '\xff' : at_ < content.size() ? content[at_] : '\0';
      ++at_;
    }
  }

 private:
  std::map<uint16_t, std::string> items_;
  std::string entries_;
  uint32_t files_ = 0;
  uint16_t item_ = 0;
  size_t at_ = 0;
  bool present_ = true;
};

TEST(FwCfg, FindsAFileAmongOthers) {
  FakePort port;
  port.add("etc/acpi/tables", "x");
  port.add("opt/org.tether/config", std::string("a\0b", 3));
  port.add("opt/org.tether/config.old", "y");
  const auto read = read_fw_cfg_file(port, "opt/org.tether/config", 100);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, std::string("a\0b", 3));
}

TEST(FwCfg, ANameThatFillsItsFieldIsRead) {
  FakePort port;
  const std::string name(56, 'n');
  port.add(name, "full");
  EXPECT_EQ(*read_fw_cfg_file(port, name, 100), "full");
}

TEST(FwCfg, SaysWhatIsMissing) {
  FakePort port;
  port.add("etc/other", "x");
  EXPECT_EQ(read_fw_cfg_file(port, "opt/none", 100).error().code.value(), ENOENT);
  port.remove_device();
  EXPECT_EQ(read_fw_cfg_file(port, "opt/none", 100).error().code.value(), ENODEV);
}

TEST(FwCfg, RefusesWhatIsTooLarge) {
  FakePort port;
  port.add("f", std::string(101, 'x'));
  EXPECT_EQ(read_fw_cfg_file(port, "f", 100).error().code.value(), EFBIG);
  EXPECT_TRUE(read_fw_cfg_file(port, "f", 101).has_value());
}

TEST(FwCfg, ADirectoryWithoutEndIsRefused) {
  FakePort port;
  port.set(0x0019, "\xff\xff\xff\xff");
  EXPECT_EQ(read_fw_cfg_file(port, "f", 100).error().code.value(), EPROTO);
}

}  // namespace
}  // namespace tether
