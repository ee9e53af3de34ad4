#include "serial-transport/core.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

class CoreTest : public testing::Test {
 protected:
  template <typename F>
  bool run_until(F condition, Time within = 10s) {
    const Time deadline = line_.now + within;
    while (!condition()) {
      if (line_.now > deadline || !line_.step()) return false;
    }
    return true;
  }
  bool both_up() { return guest_->core->session_up() && host_->core->session_up(); }
  void start() {
    line_.connect(*guest_, *host_);
    ASSERT_TRUE(run_until([&] { return both_up(); }, 1s));
  }
  std::unique_ptr<SimulatedEnd> guest_ = std::make_unique<SimulatedEnd>(Role::kGuest, 1, false);
  std::unique_ptr<SimulatedEnd> host_ = std::make_unique<SimulatedEnd>(Role::kHost, 2, false);
  SimulatedLine line_{3, {}};
};

TEST_F(CoreTest, AHelloTakesTwoRoundTripsAtMost) {
  const Time before = line_.now;
  start();
  EXPECT_LE(line_.now - before, 5ms);
}

TEST_F(CoreTest, TheSameIncarnationsGoOnAfterACut) {
  start();
  host_->open(1000000, TrafficClass::kBulk);
  ASSERT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->users[1].got > 300000; }));
  line_.cut(true);
  line_.connect(*guest_, *host_);
  ASSERT_TRUE(run_until([&] { return guest_->all_over() && host_->all_over(); }));
  EXPECT_EQ(1000000U, guest_->users[1].got);
  EXPECT_FALSE(guest_->users[1].wrong);
  EXPECT_FALSE(guest_->any_ended());
}

TEST_F(CoreTest, AnotherIncarnationEndsConnectionsWithinASecond) {
  start();
  host_->open(1000000, TrafficClass::kBulk);
  ASSERT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->users[1].got > 300000; }));
  line_.cut(true);
  host_ = std::make_unique<SimulatedEnd>(Role::kHost, 77, false);
  line_.connect(*guest_, *host_);
  ASSERT_TRUE(run_until([&] { return both_up() && guest_->any_ended(); }, 1s));
  EXPECT_EQ(Reason::kPeerRestarted, guest_->users[1].ended);
}

// The guest of a virtio-serial port may not notice that the host end was another for a moment: the
// stump of a frame stays in front of the new HELLO.
TEST_F(CoreTest, AnUnnoticedNewHostGetsThroughBehindTheStumpOfAFrame) {
  start();
  host_->open(1000000, TrafficClass::kBulk);
  ASSERT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->users[1].got > 300000; }));
  std::vector<std::byte> data(kMaxFrame);
  size_t size = 0;
  for (int i = 0; i < 1000 && size < 5000; ++i) {
    size = host_->core->to_send(data, line_.now);
    if (size < 5000) line_.step();
  }
  ASSERT_GE(size, 5000U);
  guest_->core->on_bytes(std::span(data).first(3000), line_.now);
  host_ = std::make_unique<SimulatedEnd>(Role::kHost, 78, false);
  host_->core->on_link_up(line_.now);
  const Time before = line_.now;
  Time now = line_.now;
  std::vector<std::byte> out(kMaxFrame);
  while (!both_up() || !guest_->any_ended()) {
    now += 1ms;
    ASSERT_LT(now - before, 1s);
    for (auto [from, to] : {std::pair(host_.get(), guest_.get()), {guest_.get(), host_.get()}}) {
      from->core->on_tick(now);
      const size_t n = from->core->to_send(out, now);
      to->core->on_bytes(std::span(out).first(n), now);
    }
  }
  EXPECT_EQ(Reason::kPeerRestarted, guest_->users[1].ended);
  EXPECT_FALSE(guest_->users[1].wrong);
}

TEST_F(CoreTest, ALateCopyOfAHelloDisturbsNothing) {
  std::vector<std::vector<std::byte>> said;
  guest_->core->on_link_up(line_.now);
  host_->core->on_link_up(line_.now);
  std::vector<std::byte> out(kMaxFrame);
  for (int i = 0; i < 10; ++i) {
    for (auto [from, to] : {std::pair(host_.get(), guest_.get()), {guest_.get(), host_.get()}}) {
      const size_t n = from->core->to_send(out, line_.now);
      if (from == host_.get()) said.emplace_back(out.begin(), out.begin() + static_cast<long>(n));
      to->core->on_bytes(std::span(out).first(n), line_.now);
    }
  }
  ASSERT_TRUE(both_up());
  const ConnectionId id = guest_->open(0, TrafficClass::kControl);
  for (const auto& bytes : said) guest_->core->on_bytes(bytes, line_.now);
  EXPECT_TRUE(guest_->core->session_up());
  EXPECT_FALSE(guest_->any_ended());
  EXPECT_EQ(1U, guest_->users.count(id));
}

TEST_F(CoreTest, AnIdleLinkSpeaksAtMostOnceASecond) {
  start();
  ASSERT_TRUE(run_until([&] { return line_.now > 5s; }));
  const uint64_t before = line_.frames;
  const Time since = line_.now;
  (void)run_until([&] { return line_.now > since + 60s; }, 61s);
  EXPECT_TRUE(both_up());
  EXPECT_LE(line_.frames - before, 120U);
  EXPECT_GE(line_.frames - before, 20U);
}

TEST_F(CoreTest, AnInteractiveByteOvertakesASaturatingBulkTransfer) {
  start();
  host_->open(20000000, TrafficClass::kBulk);
  ASSERT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->users[1].got > 300000; }));
  const Time before = line_.now;
  const ConnectionId id = host_->open(1, TrafficClass::kInteractive);
  ASSERT_TRUE(run_until([&] { return guest_->users.contains(id) && guest_->users[id].got == 1; }));
  EXPECT_LE(line_.now - before, 20ms);  // four frames of 16 KiB at 10 MB/s, and the answers
}

TEST_F(CoreTest, RandomBytesBeforeAndAfterTheHelloDoNoHarm) {
  std::mt19937_64 random(9);
  guest_->core->on_link_up(line_.now);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 2000; ++i) {
      std::vector<std::byte> noise(random() % 300);
      for (auto& b : noise)
        b = random() % 8 == 0 ? std::byte{0x74} : static_cast<std::byte>(random());
      guest_->core->on_bytes(noise, line_.now);
    }
    if (round == 0) start();
  }
  host_->open(1000, TrafficClass::kBulk);
  EXPECT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->all_over(); }));
}

}  // namespace
}  // namespace serial_transport
