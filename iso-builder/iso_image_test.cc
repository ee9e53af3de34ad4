#include "iso-builder/iso_image.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>

#include "common/io.h"
#include "iso-builder/test_images.h"
#include "iso-builder/unified_image.h"

namespace iso_builder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IsoImage : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "iso-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    inputs_.kernel = file("kernel", small_kernel());
    inputs_.agent = file("agent", small_agent());
    iso_ = folder_ + "/out.iso";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& bytes) {
    std::string path = folder_ + "/" + name;
    EXPECT_TRUE(common::write_file_atomically(path, bytes).has_value());
    return path;
  }
  void build() {
    const auto status = build_iso(inputs_, iso_);
    ASSERT_TRUE(status.has_value()) << status.error().message();
  }
  std::vector<std::string> verify(const Expected& expected = {}) {
    const auto iso = read_iso(iso_);
    if (iso.has_error()) return {iso.error().message()};
    const auto lines = verify_iso(*iso, expected);
    return lines.has_value() ? *lines : std::vector<std::string>{lines.error().message()};
  }
  // The ISO with one occurrence of `from` replaced by as many bytes.
  void change(const std::string& from, const std::string& to) {
    std::string bytes = *common::read_file(iso_);
    const size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(from.size(), to.size());
    ASSERT_TRUE(common::write_file_atomically(iso_, bytes.replace(at, to.size(), to)).has_value());
  }

  IsoInputs inputs_;
  std::string folder_;
  std::string iso_;
};

TEST_F(IsoImage, HoldsWhatWentIntoIt) {
  build();
  const auto iso = read_iso(iso_);
  ASSERT_TRUE(iso.has_value()) << iso.error().message();
  EXPECT_EQ(iso->found.kernel_version, "6.1.0-test");
  EXPECT_EQ(iso->found.command_line, kDefaultCommandLine);
  EXPECT_EQ(iso->found.kernel.sha256, sha256_hex(small_kernel()));
  EXPECT_EQ(iso->found.agent.sha256, sha256_hex(small_agent()));
  EXPECT_EQ(iso->size, std::filesystem::file_size(iso_));
  const std::string line = " " + std::string(kDefaultCommandLine);
  EXPECT_THAT(verify({inputs_.kernel, inputs_.agent, &line}), ElementsAre());
}

TEST_F(IsoImage, TheSameInputsGiveTheSameBytesWhoeverBuildsThem) {
  build();
  const std::string first = *common::read_file(iso_);
  const char* zone = std::getenv("TZ");
  const std::string saved = zone != nullptr ? zone : "";
  const mode_t mask = ::umask(077);
  ::setenv("TZ", "Asia/Kathmandu", 1);
  std::filesystem::last_write_time(inputs_.kernel, std::filesystem::file_time_type{});
  inputs_.agent = file("other-name", small_agent());
  build();
  ::umask(mask);
  zone != nullptr ? ::setenv("TZ", saved.c_str(), 1) : ::unsetenv("TZ");
  EXPECT_TRUE(first == *common::read_file(iso_));
  struct stat status {};
  ASSERT_EQ(::stat(iso_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0644U);
}

// All times of all members, without repetition.
std::set<time_t> times_in(const std::string& iso) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_iso9660(reader.get());
  EXPECT_EQ(archive_read_open_filename(reader.get(), iso.c_str(), 10240), ARCHIVE_OK);
  std::set<time_t> times;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    for (const auto time : {archive_entry_mtime, archive_entry_ctime, archive_entry_atime}) {
      times.insert(time(entry));
    }
  }
  return times;
}

TEST_F(IsoImage, OneThatStartsByUefiHoldsKernelAndInitramfsOnce) {
  inputs_.kernel = file("efi-kernel", small_efi_kernel());
  inputs_.efi_stub = file("stub", small_stub());
  build();
  const auto iso = read_iso(iso_);
  ASSERT_TRUE(iso.has_value()) << iso.error().message();
  EXPECT_EQ(iso->found.kernel.sha256, sha256_hex(small_efi_kernel()));
  EXPECT_EQ(iso->found.efi_stub.sha256, sha256_hex(*plain_stub(small_stub(), "")));
  EXPECT_THAT(verify({inputs_.kernel, inputs_.agent, nullptr}), ElementsAre());
  const std::string bytes = *common::read_file(iso_);
  const std::string mark = "6.1.0-test";
  const size_t first = bytes.find(mark);
  // Beside the kernel only the two lists of contents know its version.
  size_t count = 0;
  for (size_t at = first; at != std::string::npos; at = bytes.find(mark, at + 1)) ++count;
  EXPECT_EQ(count, 3U);
  // The boot catalog's second platform is UEFI, and the partition table has its type.
  EXPECT_EQ(bytes.substr(21 * 2048 + 64, 2), "\x91\xef");
  EXPECT_EQ(bytes[446 + 16 + 4], '\xef');
}

TEST_F(IsoImage, AByteThatNoPartAccountsForIsADifference) {
  build();
  std::string bytes = *common::read_file(iso_);
  bytes[500] = 'x';  // behind the partitions
  file("out.iso", bytes);
  EXPECT_THAT(verify(), ElementsAre(HasSubstr("layout: byte 500 is not what these parts make")));
}

TEST_F(IsoImage, ADiskIsTheIsoFilledUp) {
  build();
  auto image = load_boot_image(inputs_);
  ASSERT_TRUE(image.has_value());
  const auto parts = make_parts(*image, "k");
  const auto disk = make_output(*image, *parts, Format::kDisk, "k");
  ASSERT_TRUE(disk.has_value()) << disk.error().message();
  EXPECT_EQ(disk->size() % (1U << 20U), 0U);
  EXPECT_TRUE(disk->starts_with(*common::read_file(iso_)));
  file("out.iso", *disk);
  EXPECT_THAT(verify(), ElementsAre());
  image->disk_loader.clear();
  EXPECT_THAT(make_output(*image, *parts, Format::kDisk, "k").error().message(),
              HasSubstr("no loader for disks"));
  EXPECT_THAT(make_output(*image, *parts, Format::kUki, "k").error().message(),
              HasSubstr("CONFIG_EFI_STUB"));
}

TEST_F(IsoImage, EveryTimeInItIsTheOneGiven) {
  build();
  EXPECT_THAT(times_in(iso_), ElementsAre(0));
  EXPECT_EQ(common::read_file(iso_)->substr(16 * 2048 + 813, 16), "1970010100000000");
  inputs_.time = 1700000000;
  build();
  EXPECT_THAT(times_in(iso_), ElementsAre(1700000000));
  EXPECT_EQ(common::read_file(iso_)->substr(16 * 2048 + 813, 16), "2023111422132000");
}

TEST_F(IsoImage, AnEmptyCommandLineIsOne) {
  inputs_.command_line = "";
  build();
  const std::string empty;
  EXPECT_THAT(verify({"", "", &empty}), ElementsAre());
}

TEST_F(IsoImage, EachChangedPartIsNamed) {
  build();
  change("APPEND console=ttyS0", "APPEND console=ttyS1");
  EXPECT_THAT(verify(), ElementsAre(HasSubstr("command line: recorded 'console=ttyS0")));
  change(small_kernel(), small_kernel("6.1.9-test"));
  EXPECT_THAT(verify(), ElementsAre(HasSubstr("command line"), HasSubstr("kernel version"),
                                    HasSubstr("kernel sha256")));
}

TEST_F(IsoImage, WhatIsExpectedAndNotThereIsNamed) {
  build();
  const std::string other_kernel = file("other-kernel", small_kernel("6.2"));
  const std::string other_agent = file("other-agent", small_agent() + "x");
  const std::string other_line = "other";
  EXPECT_THAT(verify({other_kernel, other_agent, &other_line}),
              ElementsAre(HasSubstr("kernel: is not " + other_kernel),
                          HasSubstr("agent: is not " + other_agent),
                          HasSubstr("command line: is not 'other' but 'console=")));
  EXPECT_THAT(verify({folder_ + "/none", "", nullptr}),
              ElementsAre(HasSubstr("/none: No such file")));
}

TEST_F(IsoImage, OneThatIsCutShortIsRefusedAtAnyLength) {
  build();
  const std::string whole = *common::read_file(iso_);
  for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{40000}}) {
    file("out.iso", whole.substr(0, size));
    EXPECT_THAT(verify(), ElementsAre(HasSubstr("cut short: " + std::to_string(size) + " bytes")));
  }
  for (const size_t size : {size_t{0}, size_t{32768}, size_t{32770}}) {
    file("out.iso", whole.substr(0, size));
    EXPECT_THAT(verify(), ElementsAre(HasSubstr("is not an ISO 9660 image")));
  }
}

TEST_F(IsoImage, BadInputsLeaveAnOldOutputAlone) {
  file("out.iso", "precious");
  inputs_.loader = folder_ + "/no-loader";
  EXPECT_EQ(
      build_iso(inputs_, iso_).error().message(),
      "open " + inputs_.loader + ": No such file or directory (install the package isolinux)");
  EXPECT_EQ(*common::read_file(iso_), "precious");
  inputs_.agent = folder_ + "/no-agent";
  EXPECT_THAT(build_iso(inputs_, iso_).error().message(), HasSubstr("/no-agent: No such file"));
  EXPECT_EQ(*common::read_file(iso_), "precious");
}

TEST_F(IsoImage, AnOutputThatCannotBeWrittenIsNamed) {
  EXPECT_EQ(build_iso(inputs_, folder_ + "/none/out.iso").error().message(),
            "write " + folder_ + "/none/out.iso: No such file or directory");
  EXPECT_EQ(build_iso(inputs_, folder_).error().message(), "write " + folder_ + ": Is a directory");
}

TEST(SourceDateEpoch, IsANumberOrRefused) {
  ::unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_EQ(*source_date_epoch(), 0U);
  ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  EXPECT_EQ(*source_date_epoch(), 1700000000U);
  for (const char* bad : {"yesterday", "-1", "99999999999"}) {
    ::setenv("SOURCE_DATE_EPOCH", bad, 1);
    EXPECT_THAT(source_date_epoch().error().message(),
                HasSubstr("SOURCE_DATE_EPOCH '" + std::string(bad) + "'"));
  }
  ::unsetenv("SOURCE_DATE_EPOCH");
}

}  // namespace
}  // namespace iso_builder
