// What clients of the `stdio` service get of a session's output, and from where on.
#include "tether/link/stdio_server_fixture.h"

namespace tether {
namespace {

TEST_F(StdioServerTest, OutputThenEofsThenExitWhateverTheOrderOfTheNews) {
  tell_session();
  const auto id = attach();
  output(1, "out");
  output(2, "err");
  end_session(7);
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "ADDEEX");
  EXPECT_EQ(text(frames, Stream::kStdout), "out");
  EXPECT_EQ(text(frames, Stream::kStderr), "err");
  EXPECT_EQ(protocol::decode_exit(frames.back().payload)->exit_code, 7U);
}

TEST_F(StdioServerTest, ExitWaitsForTheEndOfBothStreams) {
  tell_session();
  const auto id = attach();
  end_output(1);
  EXPECT_EQ(shape(hear(id)), "AE");
  end_output(2);
  EXPECT_EQ(shape(hear(id)), "E");
  tell_exit(0);
  EXPECT_EQ(shape(hear(id)), "X");
}

TEST_F(StdioServerTest, AClientThatComesBeforeTheSessionWaitsForIt) {
  const auto id = attach(0, 0, kBoth);
  EXPECT_TRUE(hear(id).empty());
  EXPECT_EQ(server_.ending(id), Attach::Ending::kNone);
  rings_[0].write("early");
  tell_session();
  tell_stdin(0);
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "AD");
  EXPECT_EQ(text(frames, Stream::kStdout), "early");
}

TEST_F(StdioServerTest, AClientThatComesAfterTheExitGetsEverythingStillHeld) {
  tell_session();
  output(1, "result");
  end_session(3);
  EXPECT_TRUE(freed(1).empty()) << "nobody was attached";
  const auto id = attach(0, 0, kBoth);
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "ADEEX");
  EXPECT_EQ(text(frames, Stream::kStdout), "result");
}

TEST_F(StdioServerTest, AReconnectingClientResumesAtItsOffset) {
  tell_session();
  const auto first = attach();
  output(1, "0123456789");
  EXPECT_EQ(text(hear(first), Stream::kStdout), "0123456789");
  say(first, StdioType::kAck, Stream::kStdout, 4);
  server_.close(first);
  EXPECT_EQ(freed(1), (std::vector<uint64_t>{4}));
  const auto second = attach(6);
  const auto frames = hear(second);
  EXPECT_EQ(protocol::decode_attached(frames[0].payload)->stdout_offset, 6U);
  EXPECT_EQ(text(frames, Stream::kStdout), "6789");
}

TEST_F(StdioServerTest, AnOffsetOlderThanTheTailGetsAGap) {
  rings_[0].write("0123456789");
  rings_[0].tail = 4;
  tell_session();
  const auto old = hear(attach(1));
  EXPECT_EQ(shape(old), "AGD");
  EXPECT_EQ(old[1].offset, 4U);
  EXPECT_EQ(text(old, Stream::kStdout), "456789");
  const auto oldest = hear(attach(StdioAttach::kFromOldest, StdioAttach::kFromOldest));
  EXPECT_EQ(shape(oldest), "AD") << "who asks for the oldest misses nothing";
}

TEST_F(StdioServerTest, TheSuccessorOfAClientBeginsWhereItWas) {
  tell_session();
  const auto first = attach();
  output(1, "0123456789");
  hear(first);
  const auto attached = port_.take(LinkType::kAttached);
  ASSERT_EQ(attached.size(), 1U);
  EXPECT_EQ(attached[0].header.stream, 1U) << "there is a client of the output";
  EXPECT_TRUE(port_.take(LinkType::kDelivered).empty());
  say(first, StdioType::kAck, Stream::kStdout, 4);
  server_.close(first);
  LinkHeader tail;
  tail.type = LinkType::kTail;
  tail.stream = 1;
  tail.offset = 6;
  tell(tail);
  const auto frames = hear(attach(StdioAttach::kFromOldest, StdioAttach::kFromOldest));
  EXPECT_EQ(protocol::decode_attached(frames.at(0).payload)->stdout_offset, 4U);
  EXPECT_EQ(shape(frames), "AGD");
  EXPECT_EQ(text(frames, Stream::kStdout), "6789");
}

TEST_F(StdioServerTest, ANewLinkProcessKnowsWhereClientsWere) {
  rings_[0].write("0123456789");
  tell_session();
  LinkHeader tail;
  tail.type = LinkType::kTail;
  tail.stream = 1;
  tail.value = 1;
  tail.writer[0] = 7;
  tell(tail);
  const auto frames = hear(attach(StdioAttach::kFromOldest, StdioAttach::kFromOldest));
  EXPECT_EQ(text(frames, Stream::kStdout), "789");
}

TEST_F(StdioServerTest, BytesThatAreGivenUpWhileTheyAreReadAreAGap) {
  tell_session();
  const auto id = attach();
  output(1, "0123456789");
  rings_[0].tail = 5;
  rings_[0].write("");  // The memory knows of the new tail, and nobody was told yet.
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "AGD");
  EXPECT_EQ(text(frames, Stream::kStdout), "56789");
}

TEST_F(StdioServerTest, OutputDroppedUnderASlowClientIsAGapToo) {
  tell_session();
  const auto id = attach();
  output(1, "0123456789");
  LinkHeader tail;
  tail.type = LinkType::kTail;
  tail.stream = 1;
  tail.offset = 3;
  tell(tail);
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "AGD");
  EXPECT_EQ(text(frames, Stream::kStdout), "3456789");
}

TEST_F(StdioServerTest, FreesWhatTheSlowestAttachedClientHas) {
  tell_session();
  const auto quick = attach();
  const auto slow = attach();
  output(1, "0123456789");
  hear(quick);
  hear(slow);
  say(quick, StdioType::kAck, Stream::kStdout, 10);
  EXPECT_TRUE(freed(1).empty());
  say(slow, StdioType::kAck, Stream::kStdout, 3);
  EXPECT_EQ(freed(1), (std::vector<uint64_t>{3}));
  server_.close(slow);
  EXPECT_EQ(freed(1), (std::vector<uint64_t>{10}));
}

TEST_F(StdioServerTest, TheSlowestMayAlsoHaveComeFirst) {
  tell_session();
  const auto slow = attach();
  const auto quick = attach();
  output(1, "0123456789");
  hear(slow);
  hear(quick);
  say(slow, StdioType::kAck, Stream::kStdout, 3);
  say(quick, StdioType::kAck, Stream::kStdout, 10);
  EXPECT_EQ(freed(1), (std::vector<uint64_t>{3}));
}

TEST_F(StdioServerTest, ExitIsLastHoweverMuchOutputIsStillToBeSent) {
  tell_session();
  const auto id = attach();
  const std::string bytes(300 * 1000, 'x');
  output(1, bytes);
  end_session(1);
  EXPECT_EQ(shape(hear(id, false)).find('X'), std::string::npos);
  const std::string rest = shape(hear(id));
  EXPECT_EQ(rest.find('X'), rest.size() - 1);
}

TEST_F(StdioServerTest, OneClientThatDoesNotReadDoesNotHoldUpAnother) {
  tell_session();
  const auto quick = attach();
  const auto slow = attach();
  const std::string bytes(512 * 1024, 'x');
  output(1, bytes);
  EXPECT_EQ(text(hear(quick), Stream::kStdout).size(), bytes.size());
  const size_t first = text(hear(slow, false), Stream::kStdout).size();
  EXPECT_LE(first, Attach::kMaxQueued);
  EXPECT_EQ(first + text(hear(slow), Stream::kStdout).size(), bytes.size());
}

TEST_F(StdioServerTest, ReadsOnAcrossTheRingsEnd) {
  tell_session();
  const auto id = attach();
  std::string all;
  std::string got;
  for (int i = 0; i < 30; ++i) {
    std::string bytes(100 * 1000, static_cast<char>('a' + i));
    all += bytes;
    output(1, bytes);
    got += text(hear(id), Stream::kStdout);
    ASSERT_EQ(got, all);
    say(id, StdioType::kAck, Stream::kStdout, got.size());
    const auto offsets = freed(1);
    ASSERT_EQ(offsets.size(), 1U);
    rings_[0].tail = offsets[0];
  }
}

}  // namespace
}  // namespace tether
