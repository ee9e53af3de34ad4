#include "vch/journal/time_text.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

namespace vch {
namespace {

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kNow = int64_t{1800000000} * kSecond;

int64_t parsed(std::string_view text) {
  const auto time = parse_time(text, kNow);
  EXPECT_TRUE(time.has_value()) << text;
  return time.has_value() ? *time : 0;
}

TEST(TimeText, DurationsCountBackFromNow) {
  EXPECT_EQ(parsed("10m"), kNow - 600 * kSecond);
  EXPECT_EQ(parsed("1h30m"), kNow - 5400 * kSecond);
  EXPECT_EQ(parsed("1.5h"), kNow - 5400 * kSecond);
  EXPECT_EQ(parsed("250ms"), kNow - kSecond / 4);
  EXPECT_EQ(parsed("-2s"), kNow + 2 * kSecond);
}

TEST(TimeText, PlainNumbersAreSecondsSince1970) {
  EXPECT_EQ(parsed("0"), 0);
  EXPECT_EQ(parsed("1735689600"), 1735689600 * kSecond);
  EXPECT_EQ(parsed("1735689600.25"), 1735689600 * kSecond + kSecond / 4);
  EXPECT_EQ(parsed("1.0000000019"), kSecond + 1);
}

TEST(TimeText, DatesMayBeCutShortAndHaveAZone) {
  EXPECT_EQ(parsed("2025-01-01T00:00:00Z"), 1735689600 * kSecond);
  EXPECT_EQ(parsed("2025-01-01T01:00:00.5+01:00"), 1735689600 * kSecond + kSecond / 2);
  EXPECT_EQ(parsed("2024-12-31T19:00:00-05:00"), 1735689600 * kSecond);
  EXPECT_EQ(parsed("2025-01-01T00:00Z"), 1735689600 * kSecond);
  ::setenv("TZ", "UTC-2", 1);
  ::tzset();
  EXPECT_EQ(parsed("2025-01-01T02:00:00"), 1735689600 * kSecond);
  EXPECT_EQ(parsed("2025-01-01"), (1735689600 - 7200) * kSecond);
  ::unsetenv("TZ");
  ::tzset();
}

TEST(TimeText, AnythingElseIsRefusedWithWhatIsWanted) {
  for (const char* text : {"", "yesterday", "10x", "5m ago", "2025-13-01", "2025-01-32T00:00:00Z",
                           "2025-01-01T25:00:00Z", "99999999999999999999", "9999999999999h", "1.",
                           "2025-01-01T00:00:00+1", "99999999999"}) {
    const auto time = parse_time(text, kNow);
    EXPECT_TRUE(time.has_error()) << text;
  }
  EXPECT_EQ(parse_time("soon\x1b", kNow).error().message(),
            "time 'soon\\x1b': Invalid argument (want 10m, 2025-01-02T15:04:05Z, or seconds since "
            "1970)");
}

TEST(TimeText, FormattedTimesAreDockersAndCanBeReadAgain) {
  EXPECT_EQ(format_time(1735689600 * kSecond + 1), "2025-01-01T00:00:00.000000001Z");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(parsed(format_time(kNow + 123)), kNow + 123);
}

}  // namespace
}  // namespace vch
