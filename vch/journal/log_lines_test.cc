#include "vch/journal/log_lines.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace vch {
namespace {

using Piece = std::tuple<uint32_t, int64_t, std::string>;  // stream, time, bytes

// What is shown of both streams, each stream by itself.
std::array<std::string, 2> show(const LogChoice& choice, const std::vector<Piece>& pieces) {
  LineCounter counter;
  for (const auto& [stream, time, bytes] : pieces) counter.on_output({stream, 0, bytes});
  std::array<std::string, 2> shown;
  const uint64_t keep = choice.tail.value_or(counter.lines());
  LogLines lines(choice, counter.lines() - std::min(keep, counter.lines()),
                 [&shown](uint32_t stream, std::string_view bytes) { shown[stream - 1] += bytes; });
  for (const auto& [stream, time, bytes] : pieces) lines.on_output({stream, 0, bytes}, time);
  return shown;
}

TEST(LogLines, PassBytesAsTheyAre) {
  const auto shown = show({}, {{1, 1, std::string("a\0\n\n", 4)}, {2, 2, "err"}, {1, 3, "end"}});
  EXPECT_EQ(shown[0], std::string("a\0\n\nend", 7));
  EXPECT_EQ(shown[1], "err");
}

TEST(LogLines, ATimestampStandsBeforeEachLineHoweverItsBytesCame) {
  LogChoice choice;
  choice.timestamps = true;
  const auto shown = show(
      choice, {{1, 0, "on"}, {2, 0, "x\n"}, {1, 1000000000, "e\ntwo\nth"}, {1, 2000000000, "ree"}});
  EXPECT_EQ(shown[0],
            "1970-01-01T00:00:00.000000000Z one\n1970-01-01T00:00:01.000000000Z two\n"
            "1970-01-01T00:00:01.000000000Z three");
  EXPECT_EQ(shown[1], "1970-01-01T00:00:00.000000000Z x\n");
}

TEST(LogLines, AreChosenByWhenTheyBegan) {
  LogChoice choice;
  choice.since_ns = 10;
  choice.until_ns = 20;
  const auto shown = show(choice, {{1, 9, "early "},
                                   {1, 10, "and on\nten\n"},
                                   {1, 20, "twenty, "},
                                   {1, 21, "still\nlate\n"},
                                   {1, 15, "never\n"}});
  EXPECT_EQ(shown[0], "ten\ntwenty, still\n");
}

TEST(LogLines, TheTailCountsLinesOfBothStreams) {
  const std::vector<Piece> pieces = {{1, 1, "one\ntw"}, {2, 1, "ERR\n"}, {1, 1, "o\nthree"}};
  LogChoice choice;
  for (const auto& [tail, out, err] : std::vector<std::tuple<uint64_t, std::string, std::string>>{
           {0, "", ""},
           {1, "three", ""},
           {2, "three", "ERR\n"},
           {3, "two\nthree", "ERR\n"},
           {9, "one\ntwo\nthree", "ERR\n"}}) {
    choice.tail = tail;
    const auto shown = show(choice, pieces);
    EXPECT_EQ(shown[0], out) << tail;
    EXPECT_EQ(shown[1], err) << tail;
  }
}

TEST(LogLines, TheTailIsTakenBeforeTimesAreLookedAt) {
  LogChoice choice;
  choice.tail = 2;
  choice.since_ns = 3;
  EXPECT_EQ(show(choice, {{1, 1, "a\n"}, {1, 2, "b\n"}, {1, 3, "c\n"}})[0], "c\n");
}

TEST(LogLines, ANewLifeBeginsALine) {
  LogChoice choice;
  choice.timestamps = true;
  std::string shown;
  LogLines lines(choice, 0, [&](uint32_t, std::string_view bytes) { shown += bytes; });
  lines.on_output({1, 0, "half"}, 0);
  lines.on_boot();
  lines.on_output({1, 0, "new"}, 0);
  EXPECT_EQ(shown, "1970-01-01T00:00:00.000000000Z half1970-01-01T00:00:00.000000000Z new");
}

}  // namespace
}  // namespace vch
