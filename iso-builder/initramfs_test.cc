#include "iso-builder/initramfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iso-builder/archive_reader.h"
#include "iso-builder/layout.h"

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

// Names and modes as the archive's headers hold them.
std::vector<std::string> listing(const std::string& cpio) {
  std::vector<std::string> lines;
  const auto field = [&](size_t at, size_t index) {
    return std::stoul(cpio.substr(at + 6 + index * 8, 8), nullptr, 16);
  };
  const auto padded = [](size_t n) { return (n + 3) / 4 * 4; };
  for (size_t at = 0; at < cpio.size();) {
    const size_t name_size = field(at, 11);
    char mode[16];
    std::snprintf(mode, sizeof mode, "%06lo", field(at, 1));
    lines.push_back(cpio.substr(at + 110, name_size - 1) + " " + mode + " " +
                    std::to_string(field(at, 9)) + "," + std::to_string(field(at, 10)) + " " +
                    std::to_string(field(at, 5)));
    at += padded(110 + name_size) + padded(field(at, 6));
  }
  return lines;
}

TEST(Initramfs, HoldsTheAgentAndTheNodesItNeedsFirst) {
  EXPECT_THAT(
      listing(*make_initramfs({"agent", ""}, 7)),
      ::testing::ElementsAre("dev 040755 0,0 7", "dev/console 020600 5,1 7",
                             "dev/null 020666 1,3 7", "init 100755 0,0 7", "proc 040555 0,0 7",
                             "run 040755 0,0 7", "sys 040555 0,0 7", "TRAILER!!! 000000 0,0 0"));
}

TEST(Initramfs, HoldsBusyboxWhenThereIsOneReadyForHooksAndPackedOtherwise) {
  const std::string hook = "tools/hooks/early/1", box(100000, 'b');
  for (const bool hooks : {false, true}) {
    InitramfsContents contents{"agent", box};
    if (hooks) contents.files[hook] = "h";
    const std::string raw = *make_initramfs(contents, 7);
    EXPECT_THAT(listing(raw), ::testing::Contains(hooks ? "tools/busybox 100755 0,0 7"
                                                        : "tools/busybox.lz4 100644 0,0 7"));
    EXPECT_EQ(raw.size() > box.size(), hooks);
    const auto read = read_initramfs(raw, "x");
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(read->agent, "agent");
    EXPECT_EQ(read->busybox, box);
    EXPECT_EQ(read->files, contents.files);
  }
}

TEST(Initramfs, WhatIsPackedAndDamagedIsRefusedByName) {
  const std::string packed = *compress_lz4_legacy(std::string(1000, 'b'));
  EXPECT_EQ(*unpack_lz4_legacy(packed, "x"), std::string(1000, 'b'));
  for (const std::string& bad :
       {packed.substr(1), packed.substr(0, packed.size() - 1), packed + "x"}) {
    EXPECT_THAT(unpack_lz4_legacy(bad, "/iso").error().message(),
                HasSubstr("unpack /iso: damaged"));
  }
}

TEST(Initramfs, HoldsFurtherFilesBelowTheirFoldersAndHooksCanBeExecuted) {
  const InitramfsContents contents{
      "agent",
      "",
      {{"lib/firmware/a/b.bin", "b"}, {"tools/ca", "c"}, {"tools/hooks/early/1", "h"}}};
  const std::string raw = *make_initramfs(contents, 7);
  const auto lines = listing(raw);
  const std::vector<std::string> tail(lines.begin() + 7, lines.end() - 1);
  EXPECT_THAT(tail, ::testing::ElementsAre(
                        "lib 040755 0,0 7", "lib/firmware 040755 0,0 7",
                        "lib/firmware/a 040755 0,0 7", "lib/firmware/a/b.bin 100644 0,0 7",
                        "tools 040755 0,0 7", "tools/ca 100644 0,0 7", "tools/hooks 040755 0,0 7",
                        "tools/hooks/early 040755 0,0 7", "tools/hooks/early/1 100755 0,0 7"));
  const auto read = read_initramfs(raw, "x");
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(read->files, contents.files);
}

TEST(Initramfs, TheAgentComesBackPlainAndCompressed) {
  std::string agent(20U << 20U, 'a');  // three blocks
  for (size_t i = 0; i < agent.size(); i += 1021) agent[i] = static_cast<char>(i);
  const std::string raw = *make_initramfs({agent, ""}, 0);
  const auto packed = compress_lz4_legacy(raw);
  ASSERT_TRUE(packed.has_value());
  EXPECT_LT(packed->size(), raw.size() / 4);
  for (const std::string& form : {raw, *packed}) {
    const auto read = read_initramfs(form, "x");
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_TRUE(read->agent == agent);
    EXPECT_EQ(read->busybox, "");
  }
}

TEST(Initramfs, ADamagedOneIsRefusedByName) {
  const auto packed = compress_lz4_legacy(*make_initramfs({std::string(100000, 'a'), ""}, 0));
  EXPECT_THAT(read_initramfs(packed->substr(0, 100), "/iso").error().message(),
              HasSubstr("read /iso: "));
  std::string other = *make_initramfs({"a", ""}, 0);
  other.replace(other.find("init"), 4, "inix");
  EXPECT_THAT(read_initramfs(other, "/iso").error().message(),
              HasSubstr("initramfs /iso: holds no /init"));
}

TEST(ArchiveReader, AFileBeyondItsLimitIsRefused) {
  const auto files = read_archive_memory(*make_initramfs({std::string(1000, 'a'), ""}, 0), "/iso",
                                         {{kAgentPath, 999}});
  ASSERT_TRUE(files.has_error());
  EXPECT_THAT(files.error().message(), HasSubstr("init exceeds 999 bytes"));
}

}  // namespace
}  // namespace iso_builder
