// Attaches that wait for nobody's answer.
#include "tether/link/attach.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tether/link/stdio_server_fixture.h"

namespace tether {
namespace {

class FirstWriterTest : public StdioServerTest {
 protected:
  void tell_fresh() {
    std::array<common::UniqueFd, 2> fds = {rings_[0].reader(), rings_[1].reader()};
    LinkHeader header;
    header.type = LinkType::kSession;
    header.value = kSessionFresh | kSessionStdinOpen;
    header.writer = {5, 6};
    tell(header, {}, fds);
  }
  size_t queries() { return port_.take(LinkType::kStdinQuery).size(); }
};

TEST_F(FirstWriterTest, TheFirstInputOfAFreshSessionNeedsNoQuestion) {
  tell_fresh();
  const auto id = attach(0, 0, kBoth, kSession);
  EXPECT_EQ(queries(), 0U);
  const auto heard = hear(id);
  ASSERT_EQ(shape(heard), "A") << "at once";
  const auto attached = protocol::decode_attached(heard[0].payload);
  EXPECT_EQ(attached->stdin_offset, 0U);
  EXPECT_NE(attached->flags & protocol::StdioAttached::kStdinOpen, 0U);
  say(id, StdioType::kData, Stream::kStdin, 0, "typed");
  const auto sent = port_.take(LinkType::kStdin);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].payload, "typed");
  EXPECT_EQ(sent[0].header.offset, 0U);
}

TEST_F(FirstWriterTest, OnceSomebodyHasSentInputTheNextOnesAskFirst) {
  tell_fresh();
  const auto first = attach(0, 0, kBoth, kSession);
  say(first, StdioType::kData, Stream::kStdin, 0, "typed");
  server_.close(first);
  const auto again = attach(0, 0, kBoth, kSession);
  EXPECT_EQ(queries(), 1U);
  EXPECT_EQ(shape(hear(again)), "");
  tell_stdin(5);
  const auto heard = hear(again);
  ASSERT_EQ(shape(heard), "A");
  EXPECT_EQ(protocol::decode_attached(heard[0].payload)->stdin_offset, 5U);
}

TEST_F(FirstWriterTest, OnceSomebodyHasClosedStdinTheNextOnesAreToldSo) {
  tell_fresh();
  const auto first = attach(0, 0, kBoth, kSession);
  say(first, StdioType::kEof, Stream::kStdin, 0);
  const auto next = attach(0, 0, kBoth, kSession);
  EXPECT_EQ(queries(), 1U);
  tell_stdin(0, true);
  const auto heard = hear(next);
  ASSERT_EQ(shape(heard), "A");
  EXPECT_EQ(
      protocol::decode_attached(heard[0].payload)->flags & protocol::StdioAttached::kStdinOpen, 0U);
}

TEST_F(FirstWriterTest, WhatWasSentCountsHoweverOftenTheSessionIsIntroduced) {
  tell_fresh();
  const auto first = attach(0, 0, kBoth, kSession);
  say(first, StdioType::kData, Stream::kStdin, 0, "typed");
  tell_fresh();  // as an exec's repetition has it, before the supervisor had the input
  attach(0, 0, kBoth, kSession);
  EXPECT_EQ(queries(), 1U);
}

class OfExecTest : public FirstWriterTest {
 protected:
  static constexpr LoginSessions::RequestId kRequest = {5, 6};
  StdioServer::ClientId attach_early(std::shared_ptr<LoginSessions> login) {
    StdioAttach attach;
    attach.session = StdioAttach::kOfExecSession;
    attach.flags = kBoth | StdioAttach::kOfExec;
    std::memcpy(attach.writer.data(), kRequest.data(), sizeof kRequest);
    const auto id = server_.open([this] { ++wakes_; }, std::move(login));
    say(id, StdioType::kAttach, Stream::kStdin, 0, protocol::encode(attach));
    return id;
  }
  void answer(uint32_t session) {
    if (session != 0) login_->ids.insert(session);
    login_->answers[kRequest] = session;
    if (login_->on_news) login_->on_news();
  }
  void SetUp() override {
    login_->on_news = [this] { server_.on_login_news(now_); };
  }
  std::shared_ptr<LoginSessions> login_ = std::make_shared<LoginSessions>();
};

TEST_F(OfExecTest, WaitsForTheAnswerAndIsAttachedInTheSameTurn) {
  const auto id = attach_early(login_);
  EXPECT_EQ(shape(hear(id)), "");
  EXPECT_FALSE(server_.wants_input(id));
  tell_fresh();
  EXPECT_EQ(shape(hear(id)), "") << "whose it is has not been said";
  wakes_ = 0;
  answer(kSession);
  EXPECT_GT(wakes_, 0);
  const auto heard = hear(id);
  ASSERT_EQ(shape(heard), "A");
  EXPECT_EQ(protocol::decode_attached(heard[0].payload)->session, kSession);
  const auto told = port_.take(LinkType::kAttached);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.session, kSession);
  EXPECT_EQ(told[0].header.value, 1U);
  EXPECT_TRUE(port_.sent.empty()) << "one message";
}

TEST_F(OfExecTest, MayComeBehindTheAnswerToo) {
  tell_fresh();
  answer(kSession);
  EXPECT_EQ(shape(hear(attach_early(login_))), "A");
}

TEST_F(OfExecTest, TheAnswerMayHaveBeenThePredecessors) {
  login_->ids.insert(kSession);
  login_->inherited = true;
  const auto early = attach_early(login_);
  tell_fresh();
  EXPECT_EQ(shape(hear(early)), "A");
  EXPECT_EQ(shape(hear(attach_early(login_))), "A");
}

TEST_F(OfExecTest, AnExecOfSomebodyElseIsNoneOfThisLogins) {
  tell_fresh();
  answer(kSession);
  const auto id = attach_early(std::make_shared<LoginSessions>());
  EXPECT_EQ(shape(hear(id)), "");
  EXPECT_EQ(server_.ending(id), Attach::Ending::kNone);
  const auto stranger = attach_early(nullptr);
  const auto heard = hear(stranger);
  ASSERT_EQ(shape(heard), "e");
  EXPECT_EQ(heard[0].payload, "no such session: 4294967295");
}

TEST_F(OfExecTest, ARefusedExecRefusesTheAttach) {
  const auto id = attach_early(login_);
  answer(0);
  EXPECT_EQ(shape(hear(id)), "e");
  EXPECT_EQ(server_.ending(id), Attach::Ending::kFinish);
  EXPECT_EQ(shape(hear(attach_early(login_))), "e") << "as early or as late as it comes";
}

TEST_F(OfExecTest, NobodyElsesNewsWakeWhoWaits) {
  const auto id = attach_early(login_);
  wakes_ = 0;
  tell_fresh();
  tell_head(1);
  login_->answers[{9, 9}] = 0;
  login_->on_news();
  EXPECT_EQ(wakes_, 0);
  answer(kSession);
  EXPECT_GT(wakes_, 0);
  EXPECT_EQ(shape(hear(id)), "A");
}

TEST_F(OfExecTest, ALoginHearsOfTheEndsOfStreamsWithTheExit) {
  tell_fresh();
  answer(kSession);
  const auto id = attach_early(login_);
  const auto other = attach(0, 0, StdioAttach::kWantOutput, kSession);
  hear(id);
  hear(other);
  output(1, "last words");
  end_output(1);
  end_output(2);
  EXPECT_EQ(shape(hear(id)), "D");
  EXPECT_EQ(shape(hear(other)), "DEE");
  tell_exit(0);
  EXPECT_EQ(shape(hear(id)), "EEX");
  EXPECT_EQ(shape(hear(other)), "X");
}

TEST_F(OfExecTest, ASessionThatIsGoneAlreadyIsNotWaitedFor) {
  answer(kSession);
  const auto heard = hear(attach_early(login_));
  ASSERT_EQ(shape(heard), "e");
  EXPECT_EQ(heard[0].payload, "no such session: " + std::to_string(kSession));
}

TEST_F(OfExecTest, AnAttachThatWaitsGoesWithItsLogin) {
  const auto id = attach_early(login_);
  const auto other = attach_early(std::make_shared<LoginSessions>());
  login_->end();
  EXPECT_EQ(server_.ending(id), Attach::Ending::kReset);
  EXPECT_EQ(server_.ending(other), Attach::Ending::kNone);
}

}  // namespace
}  // namespace tether
