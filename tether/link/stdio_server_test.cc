#include "tether/link/stdio_server.h"

#include <gtest/gtest.h>

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

TEST_F(StdioServerTest, StdinGoesOnceAndIsAcknowledgedWhenAccepted) {
  tell_session();
  const auto id = attach(0, 0, kBoth);
  EXPECT_TRUE(hear(id).empty()) << "where its input stands is not known yet";
  ASSERT_EQ(port_.take(LinkType::kStdinQuery).size(), 1U);
  tell_stdin(5);
  const auto attached = hear(id);
  EXPECT_EQ(protocol::decode_attached(attached.at(0).payload)->stdin_offset, 5U);
  say(id, StdioType::kData, Stream::kStdin, 0, "hello");
  say(id, StdioType::kData, Stream::kStdin, 3, "lo world");
  say(id, StdioType::kEof, Stream::kStdin, 11);
  const auto passed = port_.take(LinkType::kStdin);
  ASSERT_EQ(passed.size(), 1U);
  EXPECT_EQ(passed[0].payload, " world");
  EXPECT_EQ(passed[0].header.offset, 5U);
  EXPECT_TRUE(hear(id).empty());
  tell_stdin(11);
  EXPECT_EQ(port_.take(LinkType::kStdinEof).size(), 1U);
  const auto acks = hear(id);
  ASSERT_EQ(shape(acks), "k");
  EXPECT_EQ(acks[0].offset, 11U);
}

TEST_F(StdioServerTest, InputBeyondTheFlightWaitsWithTheClient) {
  tell_session();
  const auto id = attach(0, 0, kBoth);
  tell_stdin(0);
  uint64_t offset = 0;
  const std::string piece(32 * 1024, 'x');
  while (server_.wants_input(id) && offset < (1U << 20U)) {
    say(id, StdioType::kData, Stream::kStdin, offset, piece);
    offset += piece.size();
  }
  EXPECT_EQ(offset, StdinWriter::kMaxHeld);
  tell_stdin(32 * 1024);
  EXPECT_TRUE(server_.wants_input(id));
}

TEST_F(StdioServerTest, AVanishedClientClosesNothing) {
  tell_session();
  const auto id = attach(0, 0, kBoth);
  tell_stdin(0);
  say(id, StdioType::kData, Stream::kStdin, 0, "half");
  server_.close(id);
  EXPECT_TRUE(port_.take(LinkType::kStdinEof).empty());
  const auto attached = port_.take(LinkType::kAttached);
  ASSERT_EQ(attached.size(), 2U);
  EXPECT_EQ(attached[0].header.value, 1U);
  EXPECT_EQ(attached[1].header.value, 0U);
}

TEST_F(StdioServerTest, AWriterThatComesAgainReplacesItsOldConnection) {
  tell_session();
  const auto old = attach(0, 0, kBoth);
  const auto other = attach();
  attach(0, 0, kBoth);
  EXPECT_EQ(server_.ending(old), Attach::Ending::kReset);
  EXPECT_EQ(server_.ending(other), Attach::Ending::kNone);
}

TEST_F(StdioServerTest, AMalformedFrameCondemnsThisConnectionAlone) {
  tell_session();
  const auto good = attach();
  const auto bad = attach();
  server_.on_bytes(bad, std::string(16, '\xff'), now_);
  EXPECT_EQ(server_.ending(bad), Attach::Ending::kReset);
  server_.close(bad);
  output(1, "still here");
  EXPECT_EQ(text(hear(good), Stream::kStdout), "still here");
  EXPECT_EQ(server_.ending(good), Attach::Ending::kNone);
}

TEST_F(StdioServerTest, BreakingTheProtocolEndsTheConnection) {
  tell_session();
  const auto no_attach = server_.open([] {});
  say(no_attach, StdioType::kAck, Stream::kStdout, 0);
  EXPECT_EQ(server_.ending(no_attach), Attach::Ending::kReset);
  const auto false_ack = attach();
  say(false_ack, StdioType::kAck, Stream::kStdout, 1);
  EXPECT_EQ(server_.ending(false_ack), Attach::Ending::kReset) << "acknowledges what was not sent";
  const auto early_end = attach();
  say(early_end, StdioType::kExitAck, Stream::kStdin, 0);
  EXPECT_EQ(server_.ending(early_end), Attach::Ending::kReset);
  const auto hole = attach(0, 0, kBoth);
  tell_stdin(0);
  say(hole, StdioType::kData, Stream::kStdin, 9, "x");
  EXPECT_EQ(server_.ending(hole), Attach::Ending::kReset);
}

TEST_F(StdioServerTest, ALoginAttachesToItsOwnSessionsAlone) {
  tell_session();
  const auto own = std::make_shared<LoginSessions>();
  const auto attach_to = [&](uint32_t session) {
    StdioAttach attach;
    attach.session = session;
    const auto id = server_.open([] {}, own);
    say(id, StdioType::kAttach, Stream::kStdin, 0, protocol::encode(attach));
    return hear(id).at(0);
  };
  for (const uint32_t session : {0U, kSession}) {
    const auto frame = attach_to(session);
    EXPECT_EQ(frame.type, StdioType::kError);
    EXPECT_EQ(frame.payload, "session " + std::to_string(session) + " is not of this login");
  }
  own->ids.insert(kSession);
  EXPECT_EQ(attach_to(kSession).type, StdioType::kAttached);
}

TEST_F(StdioServerTest, RefusesWithOneLine) {
  tell_session();
  const auto unknown = attach(0, 0, StdioAttach::kWantOutput, 99);
  auto frames = hear(unknown);
  ASSERT_EQ(shape(frames), "e");
  EXPECT_EQ(frames[0].payload, "no such session: 99");
  EXPECT_EQ(server_.ending(unknown), Attach::Ending::kFinish);
  frames = hear(attach(1));
  ASSERT_EQ(shape(frames), "e");
  EXPECT_EQ(frames[0].payload, "stdout offset 1 lies beyond its end so far, 0");
}

TEST_F(StdioServerTest, TheExitIsAcknowledgedWhenNobodyIsStillReading) {
  tell_session();
  const auto quick = attach();
  const auto slow = attach();
  end_session(0);
  hear(quick);
  say(quick, StdioType::kExitAck, Stream::kStdin, 0);
  EXPECT_EQ(server_.ending(quick), Attach::Ending::kFinish);
  server_.close(quick);
  EXPECT_TRUE(port_.take(LinkType::kExitAck).empty());
  hear(slow);
  say(slow, StdioType::kExitAck, Stream::kStdin, 0);
  server_.close(slow);
  EXPECT_EQ(port_.take(LinkType::kExitAck).size(), 1U);
}

TEST_F(StdioServerTest, AnExecWhoseEndIsAcknowledgedIsForgottenWithoutFurtherWords) {
  tell_session(0);
  const auto id = attach(0, 0, StdioAttach::kWantOutput, kSession);
  end_session(0);
  hear(id);
  port_.take(LinkType::kAttached);
  say(id, StdioType::kExitAck, Stream::kStdin, 0);
  EXPECT_EQ(port_.take(LinkType::kExitAck).size(), 1U);
  EXPECT_EQ(sessions_.find(kSession), nullptr);
  EXPECT_EQ(server_.ending(id), Attach::Ending::kFinish);
  server_.close(id);
  EXPECT_TRUE(port_.take(LinkType::kAttached).empty());
  EXPECT_EQ(shape(hear(attach(0, 0, StdioAttach::kWantOutput, kSession))), "e");
}

TEST_F(StdioServerTest, AFreshSessionIsAttachedToBeforeAnythingIsSaidOfItsStreams) {
  std::array<common::UniqueFd, 2> fds = {rings_[0].reader(), rings_[1].reader()};
  LinkHeader header;
  header.type = LinkType::kSession;
  header.value = kSessionFresh;
  tell(header, {}, fds);
  const auto id = attach(0, 0, StdioAttach::kWantOutput, kSession);
  EXPECT_EQ(shape(hear(id)), "A");
  output(1, "first");
  EXPECT_EQ(text(hear(id), Stream::kStdout), "first");
  tell_exit(3);
  EXPECT_EQ(shape(hear(id)), "EEX") << "the end of a session is that of its streams";
}

TEST_F(StdioServerTest, AVanishedClientAcknowledgesNoExit) {
  tell_session();
  const auto id = attach();
  end_session(0);
  hear(id);
  server_.close(id);
  EXPECT_TRUE(port_.take(LinkType::kExitAck).empty());
}

TEST_F(StdioServerTest, ASessionThatNeverStartedReportsWhy) {
  tell_session();
  const auto id = attach();
  end_output(1);
  end_output(2);
  LinkHeader header;
  header.type = LinkType::kExit;
  header.value = 127;
  header.writer = {17, 2};
  tell(header, "no-such-program");
  const auto exit = protocol::decode_exit(hear(id).back().payload);
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->stage, 17U);
  EXPECT_EQ(exit->errno_value, 2U);
  EXPECT_EQ(exit->object, "no-such-program");
}

TEST_F(StdioServerTest, ResizesFromAttachAndLater) {
  tell_session(kSessionPrimary | kSessionTty | kSessionStdinOpen);
  const auto id = attach();
  EXPECT_TRUE(port_.take(LinkType::kResize).empty()) << "0 by 0 is no size";
  say(id, StdioType::kResize, Stream::kStdin, 0, std::string_view("\x18\0\x50\0", 4));
  const auto sent = port_.take(LinkType::kResize);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.value, 24U << 16U | 80U);
  say(id, StdioType::kResize, Stream::kStdin, 0, "x");
  EXPECT_EQ(server_.ending(id), Attach::Ending::kReset);
}

TEST_F(StdioServerTest, ACongestedSupervisorStopsInputAndGetsTheNewsLater) {
  tell_session();
  const auto id = attach();
  output(1, "0123");
  hear(id);
  port_.is_congested = true;
  EXPECT_FALSE(server_.wants_input(id));
  say(id, StdioType::kAck, Stream::kStdout, 4);
  EXPECT_TRUE(freed(1).empty());
  port_.is_congested = false;
  server_.on_port_ready(now_);
  EXPECT_EQ(freed(1), (std::vector<uint64_t>{4}));
}

TEST_F(StdioServerTest, RefusesMoreClientsThanItHasRoomFor) {
  for (size_t i = 0; i < StdioServer::kMaxClients; ++i) ASSERT_NE(server_.open([] {}), 0U);
  EXPECT_EQ(server_.open([] {}), 0U);
}

TEST_F(StdioServerTest, AClientOfASessionThatIsGoneIsToldSo) {
  tell_session();
  const auto id = attach();
  hear(id);
  LinkHeader gone;
  gone.type = LinkType::kGone;
  tell(gone);
  const auto frames = hear(id);
  EXPECT_EQ(shape(frames), "e");
  EXPECT_EQ(server_.ending(id), Attach::Ending::kFinish);
  server_.close(id);
  const auto late = attach(0, 0, StdioAttach::kWantOutput, kSession);
  EXPECT_EQ(shape(hear(late)), "e");
}

TEST_F(StdioServerTest, ADetachedSessionsStreamsAreEmptyAndItsExitComes) {
  LinkHeader header;
  header.type = LinkType::kSession;
  header.value = kSessionDiscard;
  tell(header);
  const auto id = attach(0, 0, StdioAttach::kWantOutput, kSession);
  EXPECT_EQ(shape(hear(id)), "AEE");
  tell_exit(4);
  EXPECT_EQ(shape(hear(id)), "X");
}

TEST_F(StdioServerTest, AMessageOfOneSessionWakesItsClientsAlone) {
  tell_session();
  const auto id = attach();
  hear(id);
  int woken = 0;
  std::vector<StdioServer::ClientId> others;
  for (uint32_t session = 102; session < 106; ++session) {
    LinkHeader header;
    header.type = LinkType::kSession;
    header.session = session;
    header.value = kSessionDiscard;
    sessions_.on_message(header, {}, {});
    server_.on_message(header, now_);
    StdioAttach attach;
    attach.session = session;
    others.push_back(server_.open([&woken] { ++woken; }));
    say(others.back(), StdioType::kAttach, Stream::kStdin, 0, protocol::encode(attach));
  }
  woken = 0;
  wakes_ = 0;
  output(1, "for one");
  EXPECT_EQ(woken, 0);
  EXPECT_GT(wakes_, 0);
}

}  // namespace
}  // namespace tether
