#include "vch/interaction/detach_keys.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

struct Typed {
  std::string through;
  bool detached = false;
};

Typed type(const std::string& keys, const std::string& typed, size_t piece = 1) {
  auto parsed = DetachKeys::parse(keys);
  Typed out;
  if (parsed.has_error()) {
    ADD_FAILURE() << parsed.error().message();
    return out;
  }
  for (size_t i = 0; i < typed.size() && !out.detached; i += piece) {
    out.detached = parsed->feed(std::string_view(typed).substr(i, piece), out.through);
  }
  return out;
}

TEST(DetachKeysTest, TheDefaultIsControlPControlQ) {
  for (const size_t piece : {1U, 2U, 100U}) {
    const Typed typed = type("", "ls\r\x10\x11lost", piece);
    EXPECT_TRUE(typed.detached);
    EXPECT_EQ(typed.through, "ls\r");
  }
}

TEST(DetachKeysTest, ABeginningThatDoesNotGoOnIsSentOn) {
  const Typed typed = type("", "\x10x\x10\x10y");
  EXPECT_FALSE(typed.detached);
  EXPECT_EQ(typed.through, "\x10x\x10\x10y");
}

TEST(DetachKeysTest, ABeginningIsHeldUntilTheNextKey) { EXPECT_EQ(type("", "a\x10").through, "a"); }

TEST(DetachKeysTest, TheSequenceIsFoundBehindItsOwnBeginning) {
  const Typed twice = type("", "\x10\x10\x11");
  EXPECT_TRUE(twice.detached);
  EXPECT_EQ(twice.through, "\x10");
  const Typed overlapping = type("a,b,a,c", "ababac");
  EXPECT_TRUE(overlapping.detached);
  EXPECT_EQ(overlapping.through, "ab");
}

TEST(DetachKeysTest, EveryKeyOfDockersSyntaxIsKnown) {
  EXPECT_TRUE(type("a", "a").detached);
  EXPECT_TRUE(type("ctrl-@", std::string(1, '\0')).detached);
  EXPECT_TRUE(type("ctrl-a,ctrl-z", "\x01\x1a").detached);
  EXPECT_TRUE(type("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", "\x1b\x1c\x1d\x1e\x1f").detached);
  EXPECT_TRUE(type("DEL,X", "\x7fX").detached);
}

TEST(DetachKeysTest, WhatIsNoKeyIsNamed) {
  for (const char* bad : {"ctrl-A", "ctrl-", "ctrl-1", "a,,b", "a,", "del", "ctrl-pq"}) {
    const auto parsed = DetachKeys::parse(bad);
    ASSERT_TRUE(parsed.has_error()) << bad;
    EXPECT_NE(parsed.error().message().find("'" + std::string(bad) + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace vch
