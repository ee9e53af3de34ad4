#include "tether/boot/gunzip.h"

#include <gtest/gtest.h>

#include "common/io.h"

namespace tether {
namespace {

constexpr size_t kLimit = 1U << 20U;

// By the real gzip.
std::string packed(const std::string& bytes, const std::string& flags) {
  const std::string directory = ::testing::TempDir() + "/gunzip" + std::to_string(::getpid());
  EXPECT_TRUE(common::write_file_atomically(directory, bytes).has_value());
  const std::string command = "gzip -n -c " + flags + " " + directory + " >" + directory + ".gz";
  EXPECT_EQ(::system(command.c_str()), 0);
  auto read = common::read_file(directory + ".gz");
  ::unlink(directory.c_str());
  ::unlink((directory + ".gz").c_str());
  return read.has_value() ? *read : "";
}

std::string text(size_t size) {
  std::string out;
  for (size_t i = 0; out.size() < size; ++i) out += "line " + std::to_string(i * i % 977) + "\n";
  return out.substr(0, size);
}

std::string noise(size_t size) {
  std::string out(size, '\0');
  EXPECT_TRUE(common::fill_random(std::as_writable_bytes(std::span(out))).has_value());
  return out;
}

TEST(Gunzip, GivesBackWhatGzipPacked) {
  for (const std::string& bytes :
       {std::string(), std::string("a"), std::string(70000, '\0'), text(300000), noise(70000)}) {
    for (const char* flags : {"-1", "-9"}) {
      const auto out = gunzip(packed(bytes, flags), kLimit);
      ASSERT_TRUE(out.has_value()) << bytes.size() << ": " << out.error().message();
      EXPECT_EQ(*out == bytes, true) << bytes.size();
    }
  }
}

TEST(Gunzip, AHeaderMayHaveAName) {
  std::string bytes = packed("hello", "-9");
  bytes[3] = 8;
  bytes.insert(10, std::string("config.pb\0", 10));
  EXPECT_EQ(*gunzip(bytes, kLimit), "hello");
}

TEST(Gunzip, EveryCutIsNoticed) {
  const std::string bytes = packed(text(2000), "-9");
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_TRUE(gunzip(bytes.substr(0, cut), kLimit).has_error()) << cut;
  }
}

TEST(Gunzip, EveryDamagedByteOfTheContentIsNoticed) {
  const std::string good = packed(text(2000), "-9");
  for (size_t at = 10; at < good.size() - 4; ++at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const auto out = gunzip(bytes, kLimit);
    EXPECT_TRUE(out.has_error() || *out == text(2000)) << at;
  }
}

TEST(Gunzip, ItHasALimit) {
  const std::string bytes = packed(std::string(300000, 'x'), "-9");
  EXPECT_EQ(gunzip(bytes, 299999).error().code.value(), EFBIG);
  EXPECT_TRUE(gunzip(bytes, 300000).has_value());
}

TEST(Base64, GoesByTheBook) {
  EXPECT_EQ(*decode_base64(""), "");
  EXPECT_EQ(*decode_base64("Zg=="), "f");
  EXPECT_EQ(*decode_base64("Zm8"), "fo");
  EXPECT_EQ(*decode_base64("Zm9v YmFy\r\n"), "foobar");
  EXPECT_EQ(*decode_base64("+/8="), "\xfb\xff");
  for (const char* bad : {"Zm9v-", "Zg==Zg==", "\x80"}) {
    EXPECT_EQ(decode_base64(bad).error().code.value(), EBADMSG) << bad;
  }
}

}  // namespace
}  // namespace tether
