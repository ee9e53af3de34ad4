#include "tether/session/sftp/sftp_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tether {
namespace {

constexpr uint8_t kStatus = 101, kHandle = 102, kData = 103, kName = 104;
constexpr uint32_t kNoAttributes = 0, kOk = 0, kEof = 1, kNoSuchFile = 2, kFailure = 4,
                   kBadMessage = 5;

class SftpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string place = testing::TempDir() + "sftp-XXXXXX";
    ASSERT_NE(::mkdtemp(place.data()), nullptr);
    directory_ = place;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static SftpWriter begin(uint8_t type) {
    SftpWriter out;
    out.u8(type).u32(7);
    return out;
  }
  // What it answers, from the type on; the id is checked.
  SftpReader ask(SftpWriter& packet) {
    server_.output().clear();
    EXPECT_TRUE(server_.on_packet(packet.bytes()));
    answer_ = server_.output();
    SftpReader in(answer_);
    EXPECT_EQ(in.u32(), answer_.size() - 4);
    type_ = in.u8();
    EXPECT_EQ(in.u32(), 7U);
    return in;
  }
  uint32_t status(SftpWriter& packet) {
    SftpReader in = ask(packet);
    EXPECT_EQ(type_, kStatus);
    return in.u32();
  }
  std::string open(const std::string& path, uint32_t flags) {
    auto packet = begin(3);
    SftpReader in = ask(packet.text(path).u32(flags).u32(kNoAttributes));
    EXPECT_EQ(type_, kHandle);
    return std::string(in.text());
  }
  std::string file(const std::string& name, std::string_view content = {}) {
    std::ofstream(directory_ + "/" + name) << content;
    return directory_ + "/" + name;
  }

  SftpServer server_;
  std::string directory_;
  std::string answer_;
  uint8_t type_ = 0;
};

TEST_F(SftpServerTest, AFileIsWrittenAndReadAtOffsets) {
  const std::string handle = open(directory_ + "/new", 1 | 2 | 8);
  auto write = begin(6);
  EXPECT_EQ(status(write.text(handle).u64(3).text("def")), kOk);
  auto again = begin(6);
  EXPECT_EQ(status(again.text(handle).u64(0).text("abc")), kOk);
  auto read = begin(5);
  SftpReader in = ask(read.text(handle).u64(1).u32(100));
  EXPECT_EQ(type_, kData);
  EXPECT_EQ(in.text(), "bcdef");
  auto behind = begin(5);
  EXPECT_EQ(status(behind.text(handle).u64(6).u32(1)), kEof);
  auto close = begin(4);
  EXPECT_EQ(status(close.text(handle)), kOk);
  auto closed = begin(5);
  EXPECT_EQ(status(closed.text(handle).u64(0).u32(1)), kNoSuchFile);
}

TEST_F(SftpServerTest, ADirectoryIsListedToItsEnd) {
  file("one");
  file("two");
  auto packet = begin(11);
  SftpReader opened = ask(packet.text(directory_));
  const std::string handle(opened.text());
  auto list = begin(12);
  SftpReader in = ask(list.text(handle));
  EXPECT_EQ(type_, kName);
  EXPECT_EQ(in.u32(), 4U) << "two files, . and ..";
  auto more = begin(12);
  EXPECT_EQ(status(more.text(handle)), kEof);
}

TEST_F(SftpServerTest, RenamingReplacesOnlyWhereThatIsAskedFor) {
  const std::string from = file("from", "x");
  const std::string to = file("to", "y");
  auto plain = begin(18);
  EXPECT_EQ(status(plain.text(from).text(to)), kFailure);
  auto posix = begin(200);
  EXPECT_EQ(status(posix.text("posix-rename@openssh.com").text(from).text(to)), kOk);
  EXPECT_FALSE(std::filesystem::exists(from));
}

TEST_F(SftpServerTest, APathThatDoesNotExistYetHasAName) {
  auto packet = begin(16);
  SftpReader in = ask(packet.text(directory_ + "/./to-be"));
  EXPECT_EQ(type_, kName);
  in.u32();
  EXPECT_EQ(in.text(), std::filesystem::canonical(directory_).string() + "/to-be");
}

TEST_F(SftpServerTest, HandlesHaveAnEnd) {
  const std::string path = file("file");
  for (uint32_t i = 0; i < SftpServer::kMaxHandles; ++i) open(path, 1);
  auto packet = begin(3);
  EXPECT_EQ(status(packet.text(path).u32(1).u32(kNoAttributes)), kFailure);
}

TEST_F(SftpServerTest, APathWithANulNamesNothing) {
  const std::string path = file("a");
  const std::string longer = path + std::string("\0b", 2);
  std::filesystem::create_directory(directory_ + "/d");
  const std::string directory = directory_ + std::string("/d\0b", 4);
  std::filesystem::create_symlink("a", directory_ + "/l");
  const std::string link = directory_ + std::string("/l\0b", 4);
  for (const uint8_t type : {uint8_t{13}, uint8_t{7}, uint8_t{17}, uint8_t{16}}) {
    auto packet = begin(type);
    EXPECT_EQ(status(packet.text(longer)), kBadMessage) << int{type};
  }
  for (const uint8_t type : {uint8_t{15}, uint8_t{11}}) {
    auto packet = begin(type);
    EXPECT_EQ(status(packet.text(directory)), kBadMessage) << int{type};
  }
  auto read_link = begin(19);
  EXPECT_EQ(status(read_link.text(link)), kBadMessage);
  auto statvfs = begin(200);
  EXPECT_EQ(status(statvfs.text("statvfs@openssh.com").text(longer)), kBadMessage);
  EXPECT_TRUE(std::filesystem::exists(path) && std::filesystem::exists(directory_ + "/d"));
}

TEST_F(SftpServerTest, ALinkIsMadeInTheClientsOrder) {
  const std::string link = directory_ + "/l";
  auto packet = begin(20);
  EXPECT_EQ(status(packet.text("to").text(link)), kOk);
  EXPECT_EQ(std::filesystem::read_symlink(link), "to");
  SftpServer draft(true);
  auto other = begin(20);
  EXPECT_TRUE(draft.on_packet(other.text(link + "2").text("to").bytes()));
  EXPECT_EQ(std::filesystem::read_symlink(link + "2"), "to");
}

TEST_F(SftpServerTest, ALinkHasNoSizeToSetAndItsTargetKeepsItsOwn) {
  const std::string path = file("a", "text");
  std::filesystem::create_symlink("a", directory_ + "/l");
  auto packet = begin(200);
  packet.text("lsetstat@openssh.com").text(directory_ + "/l").u32(1).u64(1);
  EXPECT_EQ(status(packet), kBadMessage);
  EXPECT_EQ(std::filesystem::file_size(path), 4U);
}

TEST_F(SftpServerTest, WhatMakesNoSenseIsAnsweredOrEnds) {
  auto unknown = begin(99);
  EXPECT_EQ(status(unknown), 8U);
  auto short_one = begin(3);
  EXPECT_EQ(status(short_one.u32(1000)), 5U);
  auto with_nul = begin(18);
  EXPECT_EQ(status(with_nul.text(std::string("a\0b", 3)).text("c")), 5U);
  auto no_handle = begin(5);
  EXPECT_EQ(status(no_handle.text("\xff\xff\xff\xff").u64(0).u32(1)), kNoSuchFile);
  EXPECT_FALSE(server_.on_packet("\x01"));
}

}  // namespace
}  // namespace tether
