// A session that another core, or another process's endpoint, goes on with.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "serial-transport/endpoint_fixture.h"
#include "serial-transport/simulated_line.h"
#include "serial-transport/talk.h"

namespace serial_transport {
namespace {

constexpr std::array<TrafficClass, 3> kClasses = {TrafficClass::kControl,
                                                  TrafficClass::kInteractive, TrafficClass::kBulk};

class HandOverTest : public testing::Test {
 protected:
  // The guest as another process has it. What its users have is theirs to carry.
  std::unique_ptr<SimulatedEnd> successor(SimulatedEnd& old,
                                          const std::vector<ConnectionId>& kept) {
    auto next = std::make_unique<SimulatedEnd>(Role::kGuest, ++seed_, false);
    const std::string state = old.core->hand_over(kept);
    EXPECT_TRUE(next->core->take_over(state));
    next->users = old.users;
    next->accept_bytes = old.accept_bytes;
    next->accept_by_hand = old.accept_by_hand;
    std::erase_if(next->users, [&](const auto& entry) {
      return std::find(kept.begin(), kept.end(), entry.first) == kept.end();
    });
    return next;
  }
  static std::vector<ConnectionId> open_ones(const SimulatedEnd& end) {
    std::vector<ConnectionId> out;
    for (const auto& [id, user] : end.users) {
      if (end.core->is_open(id)) out.push_back(id);
    }
    return out;
  }
  uint64_t seed_ = 100;
};

TEST_F(HandOverTest, StreamsGoOnExactlyOnceThroughManySuccessorsOnALineThatLosesFrames) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Weather weather;
    weather.drop = seed % 4 == 0 ? 0 : 0.00002;
    weather.burst = 50;
    weather.late_frame = seed % 2 == 0 ? 0.02 : 0;
    SimulatedLine line(seed, weather);
    SimulatedEnd host(Role::kHost, seed, true);
    auto guest = std::make_unique<SimulatedEnd>(Role::kGuest, seed + 1000, true);
    std::vector<std::unique_ptr<SimulatedEnd>> past;
    guest->accept_bytes = 200000;
    line.connect(host, *guest);
    for (int i = 0; i < 6; ++i) host.open(200000, kClasses[static_cast<size_t>(i) % 3]);
    std::mt19937_64 random(seed);
    int successors = 0;
    for (int steps = 0; steps < 400000 && !(host.all_over() && guest->all_over()); ++steps) {
      if (guest->core->session_up() && random() % 300 == 0) {
        auto next = successor(*guest, open_ones(*guest));
        line.replace(*guest, *next);
        for (const auto& [id, user] : std::map(next->users)) next->push(id);
        past.push_back(std::move(guest));
        guest = std::move(next);
        ++successors;
      }
      if (!line.step()) break;
    }
    EXPECT_GT(successors, 2) << seed;
    EXPECT_TRUE(host.all_over() && guest->all_over()) << seed;
    EXPECT_FALSE(host.any_wrong() || guest->any_wrong()) << seed;
    EXPECT_FALSE(host.any_ended() || guest->any_ended()) << seed;
    for (const auto& [id, user] : host.users) EXPECT_EQ(user.got, 200000U) << seed;
  }
}

TEST_F(HandOverTest, WhatIsNotKeptIsResetAsAfterAnEnd) {
  Talk talk;
  ASSERT_TRUE(talk.come_up());
  talk.guest->accept_by_hand = true;
  const ConnectionId kept = talk.host->open_by_hand(TrafficClass::kInteractive);
  const ConnectionId other = talk.host->open_by_hand(TrafficClass::kControl);
  ASSERT_TRUE(
      talk.run_until([&] { return talk.host->users[other].accepted; }, Time(1'000'000'000)));
  const uint64_t session = talk.host->core->session();
  const auto before = std::exchange(talk.guest, successor(*talk.guest, {kept}));
  talk.guest->core->on_link_up(talk.now);
  EXPECT_TRUE(talk.run_until([&] { return talk.host->users[other].ended != Reason::kNone; },
                             Time(10'000'000'000)));
  EXPECT_EQ(talk.host->users[other].ended, Reason::kPeerRestarted);
  EXPECT_EQ(talk.host->users[kept].ended, Reason::kNone);
  EXPECT_EQ(talk.host->core->session(), session);
  // Its number is free again, and new ones are accepted.
  const ConnectionId next = talk.host->open_by_hand(TrafficClass::kBulk);
  EXPECT_TRUE(talk.run_until([&] { return talk.host->users[next].accepted; }, Time(1'000'000'000)));
}

TEST_F(HandOverTest, APeerThatRestartedMeanwhileIsAnotherSession) {
  Talk talk;
  ASSERT_TRUE(talk.come_up());
  talk.guest->accept_by_hand = true;
  const ConnectionId id = talk.host->open_by_hand(TrafficClass::kBulk);
  ASSERT_TRUE(talk.run_until([&] { return talk.host->users[id].accepted; }, Time(1'000'000'000)));
  const auto before = std::exchange(talk.guest, successor(*talk.guest, {id}));
  talk.replace_host(77);
  EXPECT_TRUE(talk.come_up(Time(10'000'000'000)));
  EXPECT_EQ(talk.guest->users[id].ended, Reason::kPeerRestarted);
}

TEST_F(HandOverTest, NoSessionIsNothingToHandOver) {
  SimulatedEnd guest(Role::kGuest, 1, false);
  EXPECT_TRUE(guest.core->hand_over({}).empty());
}

TEST_F(HandOverTest, AnyDamageToTheStateIsNoticedOrHarmless) {
  Talk talk;
  ASSERT_TRUE(talk.come_up());
  talk.guest->accept_bytes = 50000;
  talk.passes = [](bool from_host, FrameType type, auto) {
    return from_host || type != FrameType::kData;
  };
  const ConnectionId id = talk.host->open(30000, TrafficClass::kBulk);
  (void)talk.run_until([&] { return talk.guest->users[id].got == 30000; }, Time(1'000'000'000));
  const std::string state = talk.guest->core->hand_over(std::array{id});
  ASSERT_GT(state.size(), 8000U);
  for (size_t size = 0; size < state.size(); size += size < 500 ? 1 : 97) {
    SimulatedEnd next(Role::kGuest, 5, false);
    EXPECT_FALSE(next.core->take_over(state.substr(0, size))) << size;
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = state;
    const size_t head = random() % 2 == 0 ? 200 : bad.size();
    bad[random() % head] = static_cast<char>(random());
    Talk again;
    if (!again.guest->core->take_over(bad)) continue;
    again.link_up();
    (void)again.run_until([] { return false; }, Time(20'000'000));
  }
}

TEST_F(EndpointTest, AnotherEndpointGoesOnWithAConnectionAndWhatNobodyHadReadYet) {
  int fds[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  const common::UniqueFd line(fds[0]);
  const auto again = [&] { return fd_link(common::UniqueFd(::dup(line.get()))); };
  guest_.emplace(io_, guest_options_, again());
  host_.emplace(io_, host_options_, fd_link(common::UniqueFd(fds[1])));
  auto [here, there] = connect_both();
  auto [other, other_there] = connect_both();
  write(*here, "before ");
  write(*there, "answer ");
  EXPECT_EQ(read_exactly(*there, 3), "bef");
  const std::string state = guest_->endpoint->hand_over({there});
  ASSERT_FALSE(state.empty());
  write(*here, "meanwhile ");
  Endpoint next(io_.get_executor(), guest_options_, again());
  auto taken = next.take_over(state);
  ASSERT_TRUE(taken);
  ASSERT_EQ(taken->size(), 1U);
  EXPECT_EQ(taken->front()->id(), there->id());
  EXPECT_EQ(taken->front()->service(), "sink");
  next.start();
  write(*here, "after");
  EXPECT_EQ(read_exactly(*taken->front(), 19), "ore meanwhile after");
  write(*taken->front(), "of both");
  EXPECT_EQ(read_exactly(*here, 14), "answer of both");
  EXPECT_EQ(read_error(*other), make_error_code(Reason::kPeerRestarted));
  here->shutdown_write();
  EXPECT_EQ(read_error(*taken->front()), asio::error::eof);
}

}  // namespace
}  // namespace serial_transport
