// Trees through a tar stream and back, and what hostile streams achieve: nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/io.h"
#include "tar/handles.h"
#include "tar/pack.h"
#include "tar/unpack.h"

namespace tar {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TarTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "tar-test-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    before_ = fs::current_path();
    for (const char* name : {"in", "out", "elsewhere"}) fs::create_directory(root_ / name);
    stream_.reset(::open((root_ / "stream").c_str(), O_RDWR | O_CREAT, 0600));
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(root_);
  }

  Report note() {
    return [this](std::string_view name, std::string_view why) {
      said_.push_back(std::string(name) + ": " + std::string(why));
    };
  }
  bool pack_in(const std::string& name = ".") {
    const bool complete = pack({root_ / "in", name, note()}, stream_.get());
    ::lseek(stream_.get(), 0, SEEK_SET);
    return complete;
  }
  bool unpack_out(bool trusted = true, const std::string& only = "") {
    ::lseek(stream_.get(), 0, SEEK_SET);
    UnpackOptions options;
    options.directory = root_ / "out";
    options.only = only;
    options.trusted = trusted;
    options.report = note();
    return unpack(options, stream_.get());
  }
  void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // A stream made by hand, member by member.
  struct Member {
    std::string name;
    unsigned type = AE_IFREG;
    std::string content;  // or the link's target
    bool hard = false;
    unsigned mode = 0644;
  };
  void make_stream(const std::vector<Member>& members) {
    const Handle tar(archive_write_new());
    archive_write_set_format_pax_restricted(tar.get());
    archive_write_open_fd(tar.get(), stream_.get());
    for (const Member& member : members) {
      const Entry entry(archive_entry_new());
      archive_entry_set_pathname(entry.get(), member.name.c_str());
      archive_entry_set_filetype(entry.get(), member.type);
      archive_entry_set_perm(entry.get(), member.mode);
      if (member.hard) {
        archive_entry_set_hardlink(entry.get(), member.content.c_str());
      } else if (member.type == AE_IFLNK) {
        archive_entry_set_symlink(entry.get(), member.content.c_str());
      } else {
        archive_entry_set_size(entry.get(), static_cast<int64_t>(member.content.size()));
      }
      ASSERT_EQ(archive_write_header(tar.get(), entry.get()), ARCHIVE_OK) << member.name;
      if (!member.hard && member.type == AE_IFREG) {
        archive_write_data(tar.get(), member.content.data(), member.content.size());
      }
    }
  }

  fs::path root_, before_;
  common::UniqueFd stream_;
  std::vector<std::string> said_;
};

TEST_F(TarTest, ATreeComesBackAsItWas) {
  const fs::path in = root_ / "in";
  fs::create_directories(in / "deep/er");
  write(in / "plain", "text\n");
  write(in / "deep/er/empty", "");
  write(in / "na\xc3\xafve \xff name", "bytes");
  fs::create_symlink("nowhere/at all", in / "link");
  fs::create_hard_link(in / "plain", in / "same");
  ASSERT_EQ(::chmod((in / "plain").c_str(), 04751), 0);
  ASSERT_EQ(::setxattr((in / "plain").c_str(), "user.k", "v\0w", 3, 0), 0);
  const timespec times[2] = {{1, 0}, {1234567890, 123456789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (in / "deep").c_str(), times, 0), 0);

  EXPECT_TRUE(pack_in());
  EXPECT_TRUE(unpack_out());
  EXPECT_THAT(said_, IsEmpty());
  const fs::path out = root_ / "out";
  EXPECT_EQ(read(out / "plain"), "text\n");
  EXPECT_EQ(read(out / "na\xc3\xafve \xff name"), "bytes");
  EXPECT_EQ(fs::read_symlink(out / "link"), "nowhere/at all");
  struct stat plain {
  }, same{}, deep{};
  ASSERT_EQ(::stat((out / "plain").c_str(), &plain), 0);
  ASSERT_EQ(::stat((out / "same").c_str(), &same), 0);
  ASSERT_EQ(::stat((out / "deep").c_str(), &deep), 0);
  EXPECT_EQ(plain.st_ino, same.st_ino);
  EXPECT_EQ(plain.st_mode & 07777U, 04751U);
  EXPECT_EQ(deep.st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(deep.st_mtim.tv_nsec, 123456789);
  char value[8];
  EXPECT_EQ(::getxattr((out / "plain").c_str(), "user.k", value, sizeof value), 3);
}

TEST_F(TarTest, AFileIsCalledWhatTheCallerSays) {
  write(root_ / "in/f", "x");
  EXPECT_TRUE(pack({root_ / "in/f", "g", note()}, stream_.get()));
  EXPECT_TRUE(unpack_out());
  EXPECT_EQ(read(root_ / "out/g"), "x");
}

TEST_F(TarTest, ASparseFileKeepsItsBytes) {
  write(root_ / "in/f", "begin");
  ASSERT_EQ(::truncate((root_ / "in/f").c_str(), 3000000), 0);
  std::ofstream(root_ / "in/f", std::ios::in | std::ios::ate) << "end";
  EXPECT_TRUE(pack_in());
  EXPECT_TRUE(unpack_out());
  EXPECT_EQ(read(root_ / "out/f"), read(root_ / "in/f"));
}

TEST_F(TarTest, WhatIsNotThereIsSaid) {
  EXPECT_FALSE(pack({root_ / "in/none", "x", note()}, stream_.get()));
  EXPECT_THAT(said_, Contains(HasSubstr("none")));
}

TEST_F(TarTest, NoMemberLeavesTheDirectory) {
  const std::string outside = root_ / "elsewhere";
  make_stream({{"../elsewhere/a", AE_IFREG, "1"},
               {outside + "/b", AE_IFREG, "2"},
               {"x/../../elsewhere/c", AE_IFREG, "3"},
               {"way", AE_IFLNK, outside},
               {"way/d", AE_IFREG, "4"},
               {"good", AE_IFREG, "5"}});
  EXPECT_FALSE(unpack_out());
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_EQ(read(root_ / "out/good"), "5");
  EXPECT_GE(said_.size(), 4U);
}

TEST_F(TarTest, AHardLinkLeadsNowhereElse) {
  write(root_ / "elsewhere/secret", "secret");
  make_stream({{"way", AE_IFLNK, root_ / "elsewhere"},
               {"stolen", AE_IFREG, "way/secret", true},
               {"absolute", AE_IFREG, std::string(root_ / "elsewhere/secret"), true},
               {"up", AE_IFREG, "../elsewhere/secret", true}});
  EXPECT_FALSE(unpack_out(false));
  for (const char* name : {"stolen", "absolute", "up"}) {
    EXPECT_FALSE(fs::exists(root_ / "out" / name)) << name;
  }
}

TEST_F(TarTest, ALinkThatIsInTheWayIsReplacedNotFollowed) {
  write(root_ / "elsewhere/kept", "kept");
  fs::create_symlink(root_ / "elsewhere/kept", root_ / "out/f");
  make_stream({{"f", AE_IFREG, "new"}});
  EXPECT_TRUE(unpack_out());
  EXPECT_EQ(read(root_ / "elsewhere/kept"), "kept");
  EXPECT_EQ(read(root_ / "out/f"), "new");
}

TEST_F(TarTest, OnlyWhatWasAskedForComes) {
  make_stream({{"f/inside", AE_IFREG, "1"}, {"fx", AE_IFREG, "2"}, {".profile", AE_IFREG, "3"}});
  EXPECT_FALSE(unpack_out(false, "f"));
  EXPECT_TRUE(fs::exists(root_ / "out/f/inside"));
  EXPECT_FALSE(fs::exists(root_ / "out/fx"));
  EXPECT_FALSE(fs::exists(root_ / "out/.profile"));
}

TEST_F(TarTest, AStrangersSetIdBitsAndDevicesDoNotCome) {
  make_stream({{"su", AE_IFREG, "x", false, 06755}, {"null", AE_IFCHR, ""}});
  EXPECT_FALSE(unpack_out(false));
  struct stat about {};
  ASSERT_EQ(::stat((root_ / "out/su").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777U, 0755U);
  EXPECT_FALSE(fs::exists(root_ / "out/null"));
}

TEST_F(TarTest, ATornStreamGivesWhatCameWhole) {
  write(root_ / "in/a", std::string(5000, 'a'));
  write(root_ / "in/b", std::string(500000, 'b'));
  EXPECT_TRUE(pack_in());
  ASSERT_EQ(::ftruncate(stream_.get(), 300000), 0);
  EXPECT_FALSE(unpack_out());
  EXPECT_THAT(said_, Contains(HasSubstr("runcated")));
}

}  // namespace
}  // namespace tar
