#include "vch/interaction/control.h"

#include "protocol/stage.h"
#include "vch/interaction/attach_fixture.h"
#include "vch/interaction/control_call.h"

namespace vch {
namespace {

TEST_F(AttachTest, SignalsGoToTheSessionOnceItHasStarted) {
  std::vector<uint32_t> signals;
  int refusals = 2;
  agent_.answer = [&](const tether::v1::Request& request) {
    tether::v1::Reply reply;
    if (refusals-- > 0) {
      reply.mutable_failure()->set_errno_value(EAGAIN);
      return reply;
    }
    signals.push_back(request.signal().number());
    if (request.signal().number() == SIGTERM) agent_.session.finish(143);
    agent_.kick();
    return reply;
  };
  agent_.session.output[0] = "up";
  boot();
  Pipe pipe, input;
  const pid_t child = start_client(input.read.get(), pipe.write.get(), err_.get());
  std::array<char, 2> up;
  ASSERT_EQ(::read(pipe.read.get(), up.data(), up.size()), 2);
  ::kill(child, SIGUSR1);
  EXPECT_TRUE(FakeMachine::wait_for([&] {
    size_t count = 0;
    agent_.change([&](FakeSession&) { count = signals.size(); });
    return count == 1;
  }));
  ::kill(child, SIGTERM);
  EXPECT_EQ(exit_code_of(child), 143);
  agent_.change([&](FakeSession&) {
    EXPECT_EQ(signals, (std::vector<uint32_t>{SIGUSR1, SIGTERM}));
  });
}

TEST_F(AttachTest, AStoppedClientStallsNobodyElseOnTheLink) {
  agent_.session.output[0] = text(4 << 20, 12);
  boot();
  Pipe pipe, input;
  const pid_t child = start_client(input.read.get(), pipe.write.get(), err_.get());
  std::array<char, 1> first;
  ASSERT_EQ(::read(pipe.read.get(), first.data(), 1), 1);
  ::kill(child, SIGSTOP);
  for (int i = 0; i < 20; ++i) {
    tether::v1::Request ping;
    ping.mutable_ping();
    EXPECT_TRUE(request(machine_.container, program_, ping, 30000).has_value());
  }
  ::kill(child, SIGKILL);
  EXPECT_EQ(exit_code_of(child), -SIGKILL);
}

TEST_F(AttachTest, ARequestsFailureIsItsErrorInOneLine) {
  agent_.answer = [](const tether::v1::Request&) {
    tether::v1::Reply reply;
    reply.mutable_failure()->set_errno_value(ESRCH);
    reply.mutable_failure()->set_object("session 5");
    reply.mutable_failure()->set_hint("it has ended");
    return reply;
  };
  boot();
  tether::v1::Request message;
  message.mutable_signal()->set_number(9);
  const auto reply = request(machine_.container, program_, message, 30000);
  ASSERT_TRUE(reply.has_error());
  EXPECT_EQ(reply.error().message(), "signal session 5: No such process (it has ended)");
}

TEST(FailureError, HasTheHintOfItsStageWhereItHasNone) {
  tether::v1::Request request;
  request.mutable_connect_network();
  tether::v1::Failure failure;
  failure.set_stage(static_cast<uint32_t>(protocol::Stage::kFirewall));
  failure.set_errno_value(EPERM);
  failure.set_object("eth1");
  EXPECT_EQ(failure_error(request, failure).detail,
            protocol::stage_hint(protocol::Stage::kFirewall));
  failure.set_hint("its own");
  EXPECT_EQ(failure_error(request, failure).detail, "its own");
}

TEST_F(AttachTest, ARequestSurvivesTheShimAndActsOnce) {
  std::vector<std::string> ids;
  agent_.answer = [&](const tether::v1::Request& request) {
    ids.push_back(request.id());
    if (ids.size() == 1) ::kill(*shim_pid(machine_.container), SIGKILL);
    return tether::v1::Reply();
  };
  boot();
  tether::v1::Request message;
  message.mutable_stop();
  EXPECT_TRUE(request(machine_.container, program_, message, 30000).has_value());
  agent_.change(
      [&](FakeSession&) { EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1U); });
}

TEST_F(AttachTest, ARequestThatNobodyAnswersTimesOut) {
  tether::v1::Request message;
  message.mutable_ping();
  const auto reply = request(machine_.container, program_, message, 10);
  ASSERT_TRUE(reply.has_error());
  EXPECT_EQ(reply.error().message(),
            "ask the agent of box: Connection timed out (no answer within 10 ms)");
}

}  // namespace
}  // namespace vch
