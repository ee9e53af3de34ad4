#include "tether/link/stdin_writer.h"

#include <gtest/gtest.h>

#include "tether/link/fake_supervisor_port.h"

namespace tether {
namespace {

constexpr std::array<uint64_t, 2> kWriter = {7, 8};

class StdinWriterTest : public testing::Test {
 protected:
  void begin(uint64_t accepted = 0) {
    writer_.start(port_, 3, kWriter);
    ASSERT_EQ(port_.take(LinkType::kStdinQuery).size(), 1U);
    writer_.on_answer(accepted, false, 0);
  }
  std::string passed_on() {
    std::string out;
    for (const auto& message : port_.take(LinkType::kStdin)) out += message.payload;
    return out;
  }
  FakeSupervisorPort port_;
  StdinWriter writer_;
};

TEST_F(StdinWriterTest, PassesOnInPiecesOfBoundedSizeWithItsOwnOffsets) {
  begin();
  const std::string bytes(2 * kLinkMaxPayload + 8 * 1024, 'x');
  EXPECT_TRUE(writer_.push(0, bytes, 0));
  const auto sent = port_.take(LinkType::kStdin);
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[1].header.offset, kLinkMaxPayload);
  EXPECT_EQ(sent[1].header.session, 3U);
  EXPECT_EQ(sent[1].header.writer, kWriter);
  EXPECT_EQ(sent[2].payload.size(), 8U * 1024);
}

TEST_F(StdinWriterTest, DropsWhatTheClientRepeats) {
  begin(5);
  EXPECT_TRUE(writer_.push(0, "hello", 0));
  EXPECT_EQ(passed_on(), "");
  EXPECT_TRUE(writer_.push(3, "lo world", 0));
  EXPECT_TRUE(writer_.push(3, "lo world", 0));
  EXPECT_TRUE(writer_.push(0, "he", 0));
  EXPECT_EQ(passed_on(), " world");
}

TEST_F(StdinWriterTest, RefusesAHole) {
  begin();
  EXPECT_FALSE(writer_.push(1, "x", 0));
}

TEST_F(StdinWriterTest, HoldsBackWhatIsBeyondTheFlightUntilAcknowledged) {
  begin();
  const std::string bytes(StdinWriter::kMaxInFlight, 'x');
  EXPECT_TRUE(writer_.push(0, bytes, 0));
  EXPECT_TRUE(writer_.push(bytes.size(), "tail", 0));
  EXPECT_EQ(passed_on(), bytes);
  writer_.on_ack(kLinkMaxPayload, false, 0);
  EXPECT_EQ(passed_on(), "tail");
}

TEST_F(StdinWriterTest, BytesKeepTheirOrderWhereverTheMemoryWraps) {
  begin();
  uint64_t sent = 0;
  std::string passed, expected;
  for (int i = 0; sent < 8 * StdinWriter::kMaxHeld; ++i) {
    std::string bytes(static_cast<size_t>(i) * 977 % (40 * 1024) + 1, '\0');
    for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<char>((sent + at) % 251);
    ASSERT_TRUE(writer_.push(sent, bytes, 0));
    sent += bytes.size();
    expected += bytes;
    passed += passed_on();
    writer_.on_ack(passed.size(), false, 0);
  }
  passed += passed_on();
  EXPECT_TRUE(passed == expected);
}

TEST_F(StdinWriterTest, TakesNoMoreThanItsWindow) {
  begin();
  const std::string piece(32 * 1024, 'x');
  uint64_t offset = 0;
  for (; writer_.has_room(); offset += piece.size()) ASSERT_TRUE(writer_.push(offset, piece, 0));
  EXPECT_EQ(offset, StdinWriter::kMaxHeld);
  // What a client had begun to send before is still taken; who goes on misbehaves.
  EXPECT_TRUE(writer_.push(offset, piece, 0));
  EXPECT_TRUE(writer_.push(offset + piece.size(), piece, 0));
  EXPECT_FALSE(writer_.push(offset + 2 * piece.size(), "x", 0));
}

TEST_F(StdinWriterTest, EofGoesOnlyBehindEverythingAccepted) {
  begin();
  EXPECT_TRUE(writer_.push(0, "abc", 0));
  EXPECT_TRUE(writer_.push_eof(3, 0));
  EXPECT_TRUE(port_.take(LinkType::kStdinEof).empty());
  writer_.on_ack(3, false, 0);
  const auto eof = port_.take(LinkType::kStdinEof);
  ASSERT_EQ(eof.size(), 1U);
  EXPECT_EQ(eof[0].header.offset, 3U);
  writer_.on_ack(3, true, 0);
  EXPECT_TRUE(port_.take(LinkType::kStdinEof).empty());
}

TEST_F(StdinWriterTest, RefusesAnEofThatIsNotAtTheEndAndBytesBehindIt) {
  begin();
  EXPECT_TRUE(writer_.push(0, "abc", 0));
  EXPECT_FALSE(writer_.push_eof(2, 0));
  EXPECT_FALSE(writer_.push_eof(4, 0));
  EXPECT_TRUE(writer_.push_eof(3, 0));
  EXPECT_TRUE(writer_.push(0, "abc", 0));
  EXPECT_FALSE(writer_.push(3, "d", 0));
}

TEST_F(StdinWriterTest, RepeatsWhatTheSupervisorHadNoRoomFor) {
  begin();
  EXPECT_TRUE(writer_.push(0, "refused", 1000));
  EXPECT_EQ(passed_on(), "refused");
  writer_.on_time(1000 + StdinWriter::kFirstQueryMs - 1);
  EXPECT_TRUE(port_.take(LinkType::kStdinQuery).empty());
  writer_.on_time(1000 + StdinWriter::kFirstQueryMs);
  EXPECT_EQ(port_.take(LinkType::kStdinQuery).size(), 1U);
  writer_.on_answer(2, false, 1300);
  EXPECT_EQ(passed_on(), "fused");
}

// The process took a piece of an earlier connection's meanwhile. That one's client was promised
// more.
TEST_F(StdinWriterTest, StandsWhereItsQuestionWasAnsweredAndNotWhereThatWasTakenWhichCameBefore) {
  writer_.start(port_, 3, kWriter);
  writer_.on_ack(100, false, 0);
  EXPECT_FALSE(writer_.known());
  writer_.on_answer(200, false, 0);
  EXPECT_TRUE(writer_.known());
  EXPECT_EQ(writer_.accepted(), 200U);
}

TEST_F(StdinWriterTest, AsksLessAndLessOftenAndNeverWhenNothingIsInFlight) {
  begin();
  EXPECT_EQ(writer_.next_deadline_ms(), ~uint64_t{0});
  EXPECT_TRUE(writer_.push(0, "x", 0));
  uint64_t now = 0;
  for (int i = 0; i < 10; ++i) {
    now = writer_.next_deadline_ms();
    writer_.on_time(now);
  }
  EXPECT_EQ(writer_.next_deadline_ms() - now, StdinWriter::kLongestQueryMs);
  writer_.on_ack(1, false, now);
  EXPECT_EQ(writer_.next_deadline_ms(), ~uint64_t{0});
}

TEST_F(StdinWriterTest, TakesAndDropsEverythingOnceStdinIsClosed) {
  begin();
  EXPECT_TRUE(writer_.push(0, "abc", 0));
  EXPECT_EQ(passed_on(), "abc");
  writer_.on_ack(0, true, 0);
  EXPECT_EQ(writer_.accepted(), 3U);
  EXPECT_TRUE(writer_.push(3, "def", 0));
  EXPECT_EQ(writer_.accepted(), 6U);
  EXPECT_EQ(passed_on(), "");
}

TEST_F(StdinWriterTest, ManySmallPiecesAreBoundedToo) {
  begin();
  for (uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(writer_.push(i, "k", 0));
  EXPECT_EQ(port_.take(LinkType::kStdin).size(), StdinWriter::kMaxPieces);
  writer_.on_ack(StdinWriter::kMaxPieces, false, 0);
  EXPECT_EQ(passed_on(), std::string(100 - StdinWriter::kMaxPieces, 'k'));
}

TEST_F(StdinWriterTest, WaitsWhileThePortIsCongested) {
  begin();
  port_.is_congested = true;
  EXPECT_TRUE(writer_.push(0, "abc", 0));
  EXPECT_EQ(passed_on(), "");
  port_.is_congested = false;
  writer_.pump(0);
  EXPECT_EQ(passed_on(), "abc");
}

}  // namespace
}  // namespace tether
