// Input, refusals and ends; output has a file of its own.
#include "tether/link/stdio_server_fixture.h"

namespace tether {
namespace {

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
