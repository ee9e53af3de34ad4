#include "tether/link/clock_server.h"

#include <gtest/gtest.h>

#include "protocol/bytes.h"
#include "tether/link/fake_supervisor_port.h"

namespace tether {
namespace {

std::string number(uint64_t value) {
  std::string out;
  protocol::put<uint64_t>(out, value);
  return out;
}

class ClockServerTest : public testing::Test {
 protected:
  void answer(size_t request, uint64_t now_ns) {
    LinkHeader header;
    header.type = LinkType::kClock;
    header.offset = now_ns;
    header.writer = port_.sent.at(request).header.writer;
    server_.on_message(header);
  }

  FakeSupervisorPort port_;
  ClockServer server_{port_};
  int woken_ = 0;
};

TEST_F(ClockServerTest, AStepIsTheSupervisorsWorkAndItsClockTheAnswer) {
  ClockClient client(server_, [this] { ++woken_; });
  const uint64_t back = ~uint64_t{0} - 999;
  const std::string request = number(back);
  client.on_bytes(request.substr(0, 5));
  EXPECT_TRUE(port_.sent.empty());
  client.on_bytes(request.substr(5));
  ASSERT_EQ(port_.sent.size(), 1U);
  EXPECT_EQ(port_.sent[0].header.type, LinkType::kStepClock);
  EXPECT_EQ(port_.sent[0].header.offset, back);
  EXPECT_FALSE(client.wants_input());
  EXPECT_EQ(client.take_output(), "");
  answer(0, 1234567);
  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(client.take_output(), number(1234567));
  EXPECT_EQ(client.take_output(), "");
  EXPECT_TRUE(client.wants_input());
}

TEST_F(ClockServerTest, RequestsOfOneClientWaitForEachOther) {
  ClockClient client(server_, [] {});
  client.on_bytes(number(0) + number(7));
  ASSERT_EQ(port_.sent.size(), 1U);
  answer(0, 100);
  ASSERT_EQ(port_.sent.size(), 2U);
  EXPECT_EQ(port_.sent[1].header.offset, 7U);
  answer(1, 107);
  EXPECT_EQ(client.take_output(), number(100) + number(107));
}

TEST_F(ClockServerTest, AnAnswerIsItsAskersAloneAndNobodysWhoHasGone) {
  ClockClient first(server_, [] {});
  first.on_bytes(number(0));
  {
    ClockClient second(server_, [] {});
    second.on_bytes(number(0));
  }
  answer(1, 2);
  EXPECT_EQ(first.take_output(), "");
  answer(0, 1);
  EXPECT_EQ(first.take_output(), number(1));
}

}  // namespace
}  // namespace tether
