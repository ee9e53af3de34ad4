#include <cerrno>

#include "tether/link/control_server_fixture.h"

namespace tether {
namespace {

TEST_F(ControlServerTest, AnswersAPingWithTheRequestsId) {
  auto ping = request('a');
  ping.mutable_ping();
  const auto replies = ask(ping);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].reply().id(), ping.id());
  EXPECT_FALSE(replies[0].reply().has_failure());
}

TEST_F(ControlServerTest, DescribesTheSessions) {
  running_primary();
  auto get = request('a');
  get.mutable_get_info();
  const auto describe = [&] {
    EXPECT_TRUE(ask(get).empty());
    LinkHeader memory;
    memory.type = LinkType::kMemory;
    memory.writer = port_.take(LinkType::kMeasure).at(0).header.writer;
    server_.on_message(memory, {});
    return cut(client_.take_output()).at(0).reply().info();
  };
  auto info = describe();
  EXPECT_EQ(info.agent_version(), "1.2.3");
  ASSERT_EQ(info.sessions_size(), 1);
  EXPECT_EQ(info.sessions(0).pid(), 77U);
  EXPECT_EQ(info.sessions(0).state(), static_cast<uint32_t>(protocol::SessionState::kRunning));
  exited(137, 9);
  info = describe();
  EXPECT_EQ(info.sessions(0).state(), static_cast<uint32_t>(protocol::SessionState::kExited));
  EXPECT_EQ(info.sessions(0).exit_code(), 137U);
  EXPECT_EQ(info.sessions(0).signal(), 9U);
}

TEST_F(ControlServerTest, ARepeatedMutatingRequestActsOnceAndGivesTheFirstResult) {
  running_primary();
  auto kill = request('k');
  kill.mutable_signal()->set_number(15);
  EXPECT_FALSE(ask(kill).at(0).reply().has_failure());
  exited(0, 0);
  EXPECT_FALSE(ask(kill).at(0).reply().has_failure());
  const auto sent = port_.take(LinkType::kSignal);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.session, 1U);
  EXPECT_EQ(sent[0].header.value, 15U);
  auto later = request('l');
  later.mutable_signal()->set_number(15);
  EXPECT_EQ(ask(later).at(0).reply().failure().errno_value(), static_cast<uint32_t>(ESRCH));
}

TEST_F(ControlServerTest, RemembersABoundedNumberOfResults) {
  running_primary();
  for (uint32_t i = 0; i <= ControlServer::kMaxResults; ++i) {
    pb::Request kill;
    std::string id(16, '\0');
    std::memcpy(id.data(), &i, sizeof i);
    kill.set_id(id);
    kill.mutable_signal()->set_number(1);
    server_.answer(kill, &client_);
    if (i == 0 || i == ControlServer::kMaxResults) server_.answer(kill, &client_);
  }
  EXPECT_EQ(port_.take(LinkType::kSignal).size(), ControlServer::kMaxResults + 1);
  pb::Request first;
  first.set_id(std::string(16, '\0'));
  first.mutable_signal()->set_number(1);
  server_.answer(first, &client_);
  EXPECT_EQ(port_.take(LinkType::kSignal).size(), 1U) << "the oldest result is forgotten";
}

TEST_F(ControlServerTest, RefusesByNameWhatCannotBeDone) {
  auto bad = request('a');
  bad.set_id("short");
  bad.mutable_ping();
  EXPECT_EQ(ask(bad).at(0).reply().failure().object(), "request id");
  EXPECT_EQ(ask(request('b')).at(0).reply().failure().errno_value(), static_cast<uint32_t>(ENOSYS));
  auto number = request('c');
  number.mutable_signal()->set_number(65);
  EXPECT_EQ(ask(number).at(0).reply().failure().object(), "signal 65");
  auto nobody = request('d');
  nobody.mutable_signal()->set_number(9);
  nobody.mutable_signal()->set_session(5);
  EXPECT_EQ(ask(nobody).at(0).reply().failure().object(), "session 5");
  EXPECT_TRUE(port_.sent.empty());
}

TEST_F(ControlServerTest, StopGoesToTheSupervisorWithItsGrace) {
  running_primary();
  auto stop = request('s');
  stop.mutable_stop()->set_grace_ms(250);
  EXPECT_FALSE(ask(stop).at(0).reply().has_failure());
  const auto sent = port_.take(LinkType::kStop);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.value, 250U);
}

TEST_F(ControlServerTest, ASubscriberGetsHeldEventsFromItsNumberThenNewOnes) {
  for (uint64_t number = 1; number <= 5; ++number) event(number);
  auto subscribe = request('e');
  subscribe.mutable_subscribe()->set_from(4);
  auto messages = ask(subscribe);
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_TRUE(messages[0].has_reply());
  EXPECT_EQ(messages[1].event().number(), 4U);
  EXPECT_EQ(messages[2].event().number(), 5U);
  const int before = wakes_;
  event(6, "bad \xff text");
  EXPECT_GT(wakes_, before);
  messages = cut(client_.take_output());
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].event().number(), 6U);
  EXPECT_EQ(messages[0].event().text(), "bad \\xff text");
}

TEST_F(ControlServerTest, HoldsTheNewestEventsOnly) {
  for (uint64_t number = 1; number <= ControlServer::kMaxEvents + 10; ++number) event(number);
  ASSERT_NE(server_.event_from(0), nullptr);
  EXPECT_EQ(server_.event_from(0)->number(), 11U);
  EXPECT_EQ(server_.event_from(ControlServer::kMaxEvents + 11), nullptr);
}

TEST_F(ControlServerTest, TakesRequestsByteByByte) {
  auto ping = request('a');
  ping.mutable_ping();
  for (const char byte : delimited(ping.SerializeAsString())) {
    EXPECT_TRUE(client_.take_output().empty());
    client_.on_bytes(std::string_view(&byte, 1));
  }
  EXPECT_EQ(cut(client_.take_output()).size(), 1U);
}

TEST_F(ControlServerTest, AnOverlongOrMalformedRequestCondemnsThisClientAlone) {
  client_.on_bytes("\xff\xff\xff\xff\x0f");
  EXPECT_TRUE(client_.bad());
  ControlClient other(server_, [] {});
  other.on_bytes(delimited("\xff\xff\xff"));
  EXPECT_TRUE(other.bad());
  ControlClient third(server_, [] {});
  auto ping = request('a');
  ping.mutable_ping();
  third.on_bytes(delimited(ping.SerializeAsString()));
  EXPECT_FALSE(third.bad());
  EXPECT_EQ(cut(third.take_output()).size(), 1U);
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsNotServedWithoutBound) {
  auto ping = request('a');
  ping.mutable_ping();
  const std::string bytes = delimited(ping.SerializeAsString());
  int asked = 0;
  for (; client_.wants_input() && asked < 100000; ++asked) client_.on_bytes(bytes);
  EXPECT_FALSE(client_.wants_input());
  client_.on_bytes(bytes);
  const std::string first = client_.take_output();
  EXPECT_LT(first.size(), ControlClient::kMaxQueued + 256);
  EXPECT_EQ(cut(first).size() + cut(client_.take_output()).size(), static_cast<size_t>(asked) + 1);
}

}  // namespace
}  // namespace tether
