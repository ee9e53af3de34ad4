#include "iso-builder/lz4_matches.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <lz4hc.h>

#include <random>

namespace iso_builder {
namespace {

std::string packed(const std::string& raw) {
  std::string out(static_cast<size_t>(LZ4_compressBound(static_cast<int>(raw.size()))), '\0');
  out.resize(
      static_cast<size_t>(LZ4_compress_HC(raw.data(), out.data(), static_cast<int>(raw.size()),
                                          static_cast<int>(out.size()), LZ4HC_CLEVEL_MAX)));
  return out;
}

std::string unpacked(const std::string& block, size_t size) {
  std::string out(size, '\0');
  const int got = LZ4_decompress_safe(block.data(), out.data(), static_cast<int>(block.size()),
                                      static_cast<int>(size));
  return got < 0 ? "damaged" : out.substr(0, static_cast<size_t>(got));
}

// Pieces said before, of all lengths, between noise.
std::string sample(uint32_t seed, size_t size) {
  std::mt19937 random(seed);
  std::string out;
  while (out.size() < size) {
    const size_t length = 1 + random() % (random() % 20 == 0 ? 5000 : 40);
    const size_t from = out.empty() ? 0 : random() % out.size();
    if (random() % 2 == 0 && !out.empty()) {
      for (size_t i = 0; i < length; ++i) out += out[from + i];
    } else {
      for (size_t i = 0; i < length; ++i) out += static_cast<char>(random());
    }
  }
  return out;
}

TEST(Lz4Matches, TheContentStaysWhateverIsLeftOut) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const std::string raw = sample(seed, 1 + seed * 5000);
    const std::string block = packed(raw);
    size_t last = block.size();
    for (const size_t least : {4U, 5U, 16U, 300U, 100000U}) {
      const std::string rewritten = without_short_matches(block, raw, least);
      EXPECT_EQ(unpacked(rewritten, raw.size()), raw) << seed << " " << least;
      EXPECT_GE(rewritten.size() + 1, last) << "fewer matches never make it smaller";
      last = rewritten.size();
    }
  }
}

TEST(Lz4Matches, NothingToLeaveOutChangesNothing) {
  const std::string raw = sample(7, 50000);
  EXPECT_EQ(without_short_matches(packed(raw), raw, 4), packed(raw));
}

TEST(Lz4Matches, ABlockWithoutAnyMatchIsOneRunOfLiterals) {
  const std::string raw = std::string(300, 'a') + "the end of it";
  const std::string rewritten = without_short_matches(packed(raw), raw, 1000);
  EXPECT_EQ(rewritten.substr(3), raw) << "behind the token and 298 = 255 + 43";
  EXPECT_EQ(static_cast<uint8_t>(rewritten[0]), 0xf0);
}

}  // namespace
}  // namespace iso_builder
