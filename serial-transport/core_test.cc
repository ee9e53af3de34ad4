#include "serial-transport/core.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

struct Schedule {
  Weather weather;
  bool payload_check = false;
  bool restarts = false;
  int connections = 1;
};

Schedule schedule_for(std::mt19937_64& random) {
  Schedule schedule;
  const auto rate = [&](double most) {
    return random() % 2 == 0 ? 0 : most * (random() % 100) / 100;
  };
  schedule.payload_check = random() % 3 != 0;
  if (schedule.payload_check) {
    schedule.weather.burst = 1 + static_cast<double>(random() % 4);
    schedule.weather.flip = rate(4e-4);
    schedule.weather.drop = rate(3e-4);
    schedule.weather.insert = rate(3e-4);
  }
  schedule.weather.duplicate = rate(0.05);
  schedule.weather.reorder = rate(0.05);
  schedule.restarts = random() % 2 == 0;
  schedule.connections = 1 + static_cast<int>(random() % 6);
  return schedule;
}

// Runs one schedule to its end; gives back what went wrong, or nothing.
std::string run_schedule(uint64_t seed, uint64_t& pieces) {
  std::mt19937_64 random(seed);
  const Schedule schedule = schedule_for(random);
  SimulatedEnd guest(Role::kGuest, random(), schedule.payload_check);
  SimulatedEnd host(Role::kHost, random(), schedule.payload_check);
  SimulatedLine line(random(), schedule.weather);
  guest.accept_bytes = host.accept_bytes = random() % 40000;
  for (int i = 0; i < schedule.connections; ++i) {
    SimulatedEnd& opener = random() % 2 == 0 ? guest : host;
    const uint64_t bytes = random() % 60000;
    opener.open(bytes, static_cast<TrafficClass>(random() % 3));
  }
  line.connect(guest, host);
  Time next_cut = line.now + std::chrono::milliseconds(random() % 200);
  int cuts = schedule.restarts ? 5 : 0;
  const auto opened = static_cast<size_t>(schedule.connections);
  for (;;) {
    const bool met = guest.users.size() == opened && host.users.size() == opened;
    if (met && guest.all_done() && host.all_done()) break;
    if (line.now > 600s) return "not finished after 600 s";
    if (cuts > 0 && line.now >= next_cut) {
      --cuts;
      line.cut(random() % 2 == 0);
      line.now += std::chrono::milliseconds(random() % 50);
      line.connect(guest, host);
      next_cut = line.now + std::chrono::milliseconds(random() % 300);
    }
    if (!line.step()) return "nothing more happens";
  }
  pieces += line.pieces;
  for (const auto& [id, user] : guest.users) {
    const auto& other = host.users[id];
    if (user.wrong || other.wrong) return "wrong bytes on connection " + std::to_string(id);
    if (user.got != other.to_send || other.got != user.to_send) return "bytes missing";
  }
  if (!guest.ended.empty() || !host.ended.empty()) return "a connection was reset";
  return {};
}

// TETHER_SCHEDULES: how many; TETHER_SEED: the first, to repeat a failure.
TEST(CoreProperty, EverythingArrivesOnceAndInOrderOverBadLinesAndRestarts) {
  const auto number = [](const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
  };
  const uint64_t first = number("TETHER_SEED", 1);
  const uint64_t count = number("TETHER_SCHEDULES", 300);
  uint64_t pieces = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    ASSERT_EQ("", run_schedule(seed, pieces)) << "TETHER_SEED=" << seed << " TETHER_SCHEDULES=1";
  }
  std::cout << "seeds " << first << ".." << first + count - 1 << ", " << pieces << " pieces\n";
}

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
  ASSERT_TRUE(run_until([&] { return guest_->all_done() && host_->all_done(); }));
  EXPECT_EQ(1000000U, guest_->users[1].got);
  EXPECT_FALSE(guest_->users[1].wrong);
  EXPECT_TRUE(guest_->ended.empty());
}

TEST_F(CoreTest, AnotherIncarnationEndsConnectionsWithinASecond) {
  start();
  host_->open(1000000, TrafficClass::kBulk);
  ASSERT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->users[1].got > 300000; }));
  line_.cut(true);
  host_ = std::make_unique<SimulatedEnd>(Role::kHost, 77, false);
  line_.connect(*guest_, *host_);
  ASSERT_TRUE(run_until([&] { return both_up() && !guest_->ended.empty(); }, 1s));
  EXPECT_EQ(Reason::kPeerRestarted, guest_->ended[1]);
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
  while (!both_up() || guest_->ended.empty()) {
    now += 1ms;
    ASSERT_LT(now - before, 1s);
    for (auto [from, to] : {std::pair(host_.get(), guest_.get()), {guest_.get(), host_.get()}}) {
      from->core->on_tick(now);
      const size_t n = from->core->to_send(out, now);
      to->core->on_bytes(std::span(out).first(n), now);
    }
  }
  EXPECT_EQ(Reason::kPeerRestarted, guest_->ended[1]);
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
  EXPECT_TRUE(guest_->ended.empty());
  EXPECT_EQ(1U, guest_->users.count(id));
}

TEST_F(CoreTest, AnIdleLinkSpeaksAtMostOnceASecond) {
  start();
  ASSERT_TRUE(run_until([&] { return line_.now > 5s; }));
  const uint64_t before = line_.pieces;
  const Time since = line_.now;
  (void)run_until([&] { return line_.now > since + 60s; }, 61s);
  EXPECT_TRUE(both_up());
  EXPECT_LE(line_.pieces - before, 120U);
  EXPECT_GE(line_.pieces - before, 20U);
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
  EXPECT_TRUE(run_until([&] { return !guest_->users.empty() && guest_->all_done(); }));
}

}  // namespace
}  // namespace serial_transport
