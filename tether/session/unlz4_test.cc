#include "tether/session/unlz4.h"

#include <gtest/gtest.h>

#include <string>

namespace tether {
namespace {

using namespace std::string_literals;

// With the header for one block.
std::string packed(const std::string& block) {
  const auto size = static_cast<char>(block.size());
  return "\x02\x21\x4c\x18"s + size + "\0\0\0"s + block;
}

std::string unpacked(const std::string& bytes, size_t room = 1000) {
  std::string out(room, '?');
  const auto size = unpack_lz4(bytes, out);
  return size.has_value() ? out.substr(0, *size) : "damaged";
}

TEST(Unlz4, LiteralsAndCopiesOfThem) {
  EXPECT_EQ(unpacked(packed("\x50hello"s)), "hello");
  // "abc", four bytes from three back, which overlaps itself, then "xyzvw".
  EXPECT_EQ(unpacked(packed("\x30"
                            "abc\x03\x00\x50xyzvw"s)),
            "abcabcaxyzvw");
}

TEST(Unlz4, LongLengthsGoOnInFurtherBytes) {
  const std::string text(15 + 20, 'a');
  EXPECT_EQ(unpacked(packed("\xf0\x14"s + text)), text);
  // One byte, then 4 + 15 + 255 + 1 of it, then an empty end.
  EXPECT_EQ(unpacked(packed("\x1f"
                            "b\x01\x00\xff\x01\x00"s)),
            std::string(1 + 275, 'b'));
}

TEST(Unlz4, ADamagedOneIsRefusedAndNothingBeyondItIsTouched) {
  const std::string good = packed(
      "\x30"
      "abc\x03\x00\x50xyzvw"s);
  for (size_t size = 0; size < good.size(); ++size) {
    std::string cut = good.substr(0, size);
    EXPECT_EQ(unpacked(cut), "damaged") << size;
    if (size > 8) cut[4] = static_cast<char>(size - 8);
    // A cut right behind literals is a whole block.
    const std::string seen = unpacked(cut);
    EXPECT_TRUE(seen == "damaged" || seen == "abc") << size;
  }
  EXPECT_EQ(unpacked(packed("\x30"
                            "abc\x04\x00\x50xyzvw"s)),
            "damaged");  // from before the start
  EXPECT_EQ(unpacked(packed("\x30"
                            "abc\x00\x00\x50xyzvw"s)),
            "damaged");  // from nowhere
  EXPECT_EQ(unpacked(good, 12), "abcabcaxyzvw");
  EXPECT_EQ(unpacked(good, 11), "damaged");
  EXPECT_EQ(unpacked(packed("\xff"s)), "damaged");
  EXPECT_EQ(unpacked("\x03\x21\x4c\x18\x01\0\0\0\x00"s), "damaged");
}

}  // namespace
}  // namespace tether
