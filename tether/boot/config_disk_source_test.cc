#include "tether/boot/config_disk_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/io.h"
#include "protocol/config_disk.h"

namespace tether {
namespace {

namespace fs = std::filesystem;

// A disk "vdb" beside others, as sysfs shows it: a link into the PCI device that carries it.
class ConfigDisk : public ::testing::Test {
 protected:
  ConfigDisk() {
    directory_ = ::testing::TempDir() + "/config-disk-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    paths_.block = directory_ + "/block";
    paths_.devices = directory_ + "/dev";
    pci_ = directory_ + "/pci/0000:00:05.0";
    for (const std::string& path : {paths_.block + "/vda", paths_.block + "/vdb", paths_.devices,
                                    pci_ + "/virtio3", directory_ + "/drivers/virtio_blk"}) {
      fs::create_directories(path);
    }
    write(paths_.block + "/vda/serial", "image\n");
    write(paths_.block + "/vdb/serial", "config\n");
    write(pci_ + "/remove", "");
    write(directory_ + "/drivers/virtio_blk/unbind", "");
    fs::create_directory_symlink(pci_ + "/virtio3", paths_.block + "/vdb/device");
    fs::create_directory_symlink(directory_ + "/drivers/virtio_blk", pci_ + "/virtio3/driver");
  }
  ~ConfigDisk() override { fs::remove_all(directory_); }
  static void write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(common::write_file_atomically(path, text).has_value());
  }
  static std::string content(const std::string& path) { return *common::read_file(path); }
  std::string disk() const { return paths_.devices + "/vdb"; }
  int read_errno() {
    const auto read = read_config_disk(0, paths_);
    return read.has_error() ? read.error().code.value() : 0;
  }

  std::string directory_, pci_;
  DiskPaths paths_;
};

TEST_F(ConfigDisk, IsReadOverwrittenAndTakenOut) {
  const std::string message(700, 'm');
  write(disk(), protocol::encode_config_disk(message) + std::string(4096, 'x'));
  const auto read = read_config_disk(0, paths_);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(*read, message);
  EXPECT_EQ(content(disk()), std::string(1024, '\0') + std::string(4096, 'x'));
  EXPECT_EQ(content(pci_ + "/remove"), "1");
  EXPECT_EQ(read_errno(), ENOENT);
}

TEST_F(ConfigDisk, WithoutAPciDeviceItIsPartedFromItsDriver) {
  fs::remove(pci_ + "/remove");
  write(disk(), protocol::encode_config_disk("m"));
  ASSERT_TRUE(read_config_disk(0, paths_).has_value());
  EXPECT_EQ(content(directory_ + "/drivers/virtio_blk/unbind"), "virtio3");
}

TEST_F(ConfigDisk, OneThatCannotBeTakenOutIsNoConfiguration) {
  fs::remove(pci_ + "/remove");
  fs::remove(pci_ + "/virtio3/driver");
  write(disk(), protocol::encode_config_disk("m"));
  EXPECT_EQ(read_errno(), ENOENT);
}

TEST_F(ConfigDisk, WhatIsNoConfigurationStaysAsItIs) {
  const std::string good = protocol::encode_config_disk("message");
  std::string damaged = good;
  damaged[20] = 'X';
  for (const std::string& bytes :
       {std::string("short"), std::string(512, 'x'), good.substr(0, 20), damaged}) {
    write(disk(), bytes);
    EXPECT_EQ(read_errno(), EBADMSG);
    EXPECT_EQ(content(disk()), bytes);
  }
  EXPECT_EQ(content(pci_ + "/remove"), "");
}

TEST_F(ConfigDisk, WithoutSuchADiskTheOthersAreNamed) {
  write(paths_.block + "/vdb/serial", "other\n");
  const auto read = read_config_disk(0, paths_);
  ASSERT_TRUE(read.has_error());
  EXPECT_EQ(read.error().code.value(), ENODEV);
  EXPECT_NE(read.error().detail.find("'image' 'other'"), std::string::npos);
}

}  // namespace
}  // namespace tether
