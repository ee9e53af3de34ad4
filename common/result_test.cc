#include "common/result.h"

#include <gtest/gtest.h>

#include "common/io.h"
#include "common/scope_guard.h"
#include "common/utf8.h"

namespace common {
namespace {

TEST(Error, ReadsAsOneLineWithOperationObjectCauseAndHint) {
  EXPECT_EQ(make_error(ENOENT, "open", "/x").message(), "open /x: No such file or directory");
  EXPECT_EQ(make_error(EINVAL, "parse", "memory", "value 'x'").message(),
            "parse memory: Invalid argument (value 'x')");
  EXPECT_EQ((Error{{}, "unknown flag", "--x", ""}).message(), "unknown flag --x");
}

TEST(Escape, KeepsTextAndNeutralisesControlBytes) {
  EXPECT_EQ(escape("plain é €"), "plain é €");
  EXPECT_EQ(escape("\x1b[2J\n"), "\\x1b[2J\\x0a");
  EXPECT_EQ(escape("\xc2\x9b"), "\\xc2\\x9b");           // C1 control sequence introducer
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(escape("\xc3"), "\\xc3");                    // cut short
}

TEST(Try, ReturnsTheFirstError) {
  auto f = [](bool fail) -> Result<int> {
    auto g = [&]() -> Result<int> {
      if (fail) return make_error(EIO, "g");
      return 2;
    };
    ASSIGN_OR_RETURN(const int v, g());
    return v + 1;
  };
  EXPECT_EQ(*f(false), 3);
  EXPECT_EQ(f(true).error().operation, "g");
}

TEST(WriteFileAtomically, ReplacesTheContentAndLeavesNoTemporary) {
  std::string dir = ::testing::TempDir() + "atomicXXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  ASSERT_TRUE(write_file_atomically(dir + "/f", "one").has_value());
  ASSERT_TRUE(write_file_atomically(dir + "/f", "two").has_value());
  EXPECT_EQ(*read_file(dir + "/f"), "two");
  EXPECT_EQ(read_file(dir + "/f", 2).error().code, std::errc::file_too_large);
  EXPECT_TRUE(write_file_atomically(dir + "/none/f", "x").has_error());
}

TEST(ScopeGuard, RunsUnlessDismissed) {
  int runs = 0;
  {
    const ScopeGuard guard([&] { ++runs; });
  }
  {
    ScopeGuard guard([&] { ++runs; });
    guard.dismiss();
  }
  EXPECT_EQ(runs, 1);
}

}  // namespace
TEST(IsUtf8, TakesWhatIsWellFormedAndNothingElse) {
  for (const char* good :
       {"", "plain", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3", "\xc2\x9b", "\x1b"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad :
       {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"}) {
    EXPECT_FALSE(is_utf8(bad)) << escape(bad);
  }
}

}  // namespace common
