// Who waits for whom, in virtual time.
#include <gtest/gtest.h>

#include <iostream>

#include "serial-transport/model_uart.h"
#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kEndless = uint64_t{1} << 40U;

// A person types on an interactive connection and sees the echo, beside bulk streams both ways.
class TypingTest : public testing::Test {
 protected:
  void start(uint64_t upstream) {
    host_.accept_bytes = upstream;
    bulk_ = guest_.open(kEndless, TrafficClass::kBulk);
    ASSERT_TRUE(uart_.run_until([&] { return host_.users[bulk_].got > 20000; }, 10s));
    guest_.accept_by_hand = true;
    keys_ = host_.open_by_hand(TrafficClass::kInteractive);
    ASSERT_TRUE(uart_.run_until([&] { return host_.users[keys_].accepted; }, 10s));
    // The first keystroke finds what was sent while nobody typed.
    (void)travel(host_, guest_);
    (void)travel(guest_, host_);
  }
  // How long a byte written now takes to the other end.
  Time travel(SimulatedEnd& from, SimulatedEnd& to) {
    const uint64_t before = to.users[keys_].got;
    const Time start = uart_.now;
    const std::byte key{'k'};
    EXPECT_EQ(1U, from.core->write(keys_, {&key, 1}));
    EXPECT_TRUE(uart_.run_until([&] { return to.users[keys_].got > before; }, 10s));
    return uart_.now - start;
  }
  ModelUart uart_{11520};
  SimulatedEnd& guest_ = uart_.guest();
  SimulatedEnd& host_ = uart_.host();
  void type_for_a_while() {
    Time longest{0};
    for (int i = 0; i < 40; ++i) {
      uart_.run_for(std::chrono::milliseconds(50 + 13 * i));  // out of step with the frames
      longest = std::max({longest, travel(host_, guest_), travel(guest_, host_)});
    }
    std::cout << "longest way of a keystroke or echo: "
              << std::chrono::duration<double, std::milli>(longest).count() << " ms\n";
    EXPECT_LE(longest, 20ms);
  }
  ConnectionId bulk_ = 0, keys_ = 0;
};

TEST_F(TypingTest, AKeystrokeAndItsEchoTakeAtMost20MsBesideBulkFromTheGuest) {
  start(0);
  type_for_a_while();
}

TEST_F(TypingTest, AKeystrokeAndItsEchoTakeAtMost20MsBesideBulkBothWays) {
  start(kEndless);
  type_for_a_while();
}

TEST_F(TypingTest, BulkGetsMostOfTheLineAgainASecondAfterTheLastKeystroke) {
  start(0);
  type_for_a_while();
  uart_.run_for(1500ms);
  const uint64_t before = host_.users[bulk_].got;
  uart_.run_for(10s);
  const double share = static_cast<double>(host_.users[bulk_].got - before) / 10 / 11520;
  std::cout << "share of the line with nobody typing: " << share << "\n";
  EXPECT_GE(share, 0.9);
}

TEST_F(TypingTest, BulkGoesOnWhileSomebodyTypes) {
  start(0);
  const uint64_t before = host_.users[bulk_].got;
  const Time since = uart_.now;
  while (uart_.now < since + 10s) {
    uart_.run_for(100ms);
    (void)travel(host_, guest_);
    (void)travel(guest_, host_);
  }
  const double seconds = static_cast<double>((uart_.now - since).count()) / 1e9;
  const double share = static_cast<double>(host_.users[bulk_].got - before) / seconds / 11520;
  std::cout << "share of the line while somebody types: " << share << "\n";
  EXPECT_GE(share, 0.4);
}

// A line of 100 MB/s.
TEST(FairnessTest, AKeystrokeTakesAtMostAMillisecondMoreBesideBulkOnAFastLine) {
  SimulatedLine line(1, {});
  line.bytes_per_second = 100'000'000;
  SimulatedEnd guest(Role::kGuest, 2, false), host(Role::kHost, 3, false);
  host.accept_bytes = kEndless;
  line.connect(guest, host);
  const ConnectionId bulk = guest.open(kEndless, TrafficClass::kBulk);
  while (host.users[bulk].got < 1'000'000) ASSERT_TRUE(line.step());
  guest.accept_by_hand = true;
  const ConnectionId keys = host.open_by_hand(TrafficClass::kInteractive);
  while (!host.users[keys].accepted) ASSERT_TRUE(line.step());
  Time longest{0};
  for (int i = 0; i < 200; ++i) {
    for (const auto& [from, to] : {std::pair(&host, &guest), std::pair(&guest, &host)}) {
      const uint64_t before = to->users[keys].got;
      const Time start = line.now;
      const std::byte key{'k'};
      ASSERT_EQ(1U, from->core->write(keys, {&key, 1}));
      while (to->users[keys].got == before) ASSERT_TRUE(line.step());
      longest = std::max(longest, line.now - start);
    }
  }
  EXPECT_LE(longest, SimulatedLine::kLatency + 1ms);
}

// One end wants to send as much as it can in every class, and either the line is the limit or, on
// one that is long and fast, what may be under way.
class EveryClass : public testing::TestWithParam<uint64_t> {};

TEST_P(EveryClass, GetsAShareAndTheUrgentGetMore) {
  SimulatedLine line(1, {});
  line.bytes_per_second = GetParam();
  SimulatedEnd guest(Role::kGuest, 2, false), host(Role::kHost, 3, false);
  line.connect(guest, host);
  std::array<ConnectionId, 3> ids{};
  for (size_t traffic = 0; traffic < 3; ++traffic) {
    // Several of the urgent ones: credit alone would not hold them back.
    for (size_t i = 0; i < 30 - 12 * traffic; ++i) {
      ids[traffic] = guest.open(kEndless, static_cast<TrafficClass>(traffic));
    }
  }
  const Time until = line.now + (GetParam() > 100'000'000 ? 500ms : Time(10s));
  while (line.now < until) ASSERT_TRUE(line.step());
  std::array<uint64_t, 3> got{};
  for (const auto& [id, user] : host.users) {
    got[id <= ids[0] ? 0 : id <= ids[1] ? 1 : 2] += user.got;
  }
  std::cout << "control " << got[0] << ", interactive " << got[1] << ", bulk " << got[2] << "\n";
  EXPECT_GT(got[0], got[1]);
  EXPECT_GT(got[1], got[2]);
  EXPECT_GT(got[2], (got[0] + got[1] + got[2]) / 10);
}
INSTANTIATE_TEST_SUITE_P(FairnessTest, EveryClass, testing::Values(10'000'000, 2'000'000'000));

}  // namespace
}  // namespace serial_transport
