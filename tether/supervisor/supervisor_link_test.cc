// The link process dies, is killed and comes again.
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;

class LinkLifeTest : public SupervisorFixture {
 protected:
  size_t link_starts() const {
    size_t count = 0;
    for (const auto& one : system_.spawned) count += one.role == "link" ? 1 : 0;
    return count;
  }
  // Kills the present one; gives the ms until the next one starts.
  uint64_t ms_to_next(int signal = SIGKILL) {
    link_.reset();
    system_.ended.emplace_back(link_pid_, signal);
    const size_t before = link_starts();
    turn();
    uint64_t waited = 0;
    for (; link_starts() == before && waited < 5000; waited += 10) {
      system_.now += 10;
      turn(1);
    }
    take_link();
    return waited;
  }
};

TEST_F(LinkLifeTest, FiveAtOnceThenBackOffToASecondAndNeverGivesUp) {
  boot_running();
  std::vector<uint64_t> waits;
  for (int i = 0; i < 14; ++i) waits.push_back(ms_to_next());
  const std::vector<uint64_t> expected = {0,   0,   0,   0,    0,    40,   80,
                                          160, 320, 640, 1000, 1000, 1000, 1000};
  EXPECT_EQ(waits, expected);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(ms_to_next(), 1000U);
  system_.now += 10001;
  EXPECT_EQ(ms_to_next(), 0U) << "who lived long enough is replaced at once";
}

TEST_F(LinkLifeTest, TheContainerGoesFirst) {
  prepare();
  ASSERT_TRUE(supervisor_.start_primary().has_value());
  run_newest();
  EXPECT_EQ(link_starts(), 0U);
  system_.now += Supervisor::kLinkMs;
  turn(1);
  EXPECT_EQ(link_starts(), 1U);
  take_link();
  EXPECT_EQ(hear(LinkType::kSession).at(0).header.session, kPrimary);
  system_.now += Supervisor::kLinkLatestMs;
  turn();
  EXPECT_EQ(link_starts(), 1U);
}

TEST_F(LinkLifeTest, AContainerThatTakesLongToStartIsNotWaitedFor) {
  prepare();
  ASSERT_TRUE(supervisor_.start_primary().has_value());
  auto& launched = newest();
  system_.now += Supervisor::kLinkLatestMs - 1;
  turn();
  EXPECT_EQ(link_starts(), 0U);
  ++system_.now;
  turn();
  EXPECT_EQ(link_starts(), 1U);
  run(launched);
  system_.now += Supervisor::kLinkMs;
  turn();
  EXPECT_EQ(link_starts(), 1U);
}

TEST_F(LinkLifeTest, ARequestedRestartIsDoneOnceAndItsSuccessorAnswers) {
  boot_running();
  const LinkHeader wanted = message(LinkType::kRestartLink, 0, 0, 41);
  say(wanted);
  const std::vector<std::pair<pid_t, int>> expected = {{launcher().pid, SIGKILL},
                                                       {link_pid_, SIGKILL}};
  EXPECT_EQ(system_.signals, expected);
  restart_link();
  EXPECT_EQ(hear(LinkType::kRestarts).at(0).header.value, 1U);
  say(wanted);
  EXPECT_EQ(system_.signals, expected) << "not a second time";
  const auto answers = hear(LinkType::kState);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].header.writer, wanted.writer);
  say(message(LinkType::kRestartLink));
  EXPECT_EQ(hear(LinkType::kRefused).at(0).header.value, static_cast<uint32_t>(EINVAL))
      << "without an id it would be done again and again";
  EXPECT_EQ(system_.signals, expected);
}

// Its client may have been told that it is done.
TEST_F(LinkLifeTest, WhatItSaidBeforeItsEndIsActedUpon) {
  boot_running();
  LinkHeader wanted = message(LinkType::kSignal, kPrimary, SIGUSR1, 11);
  ASSERT_EQ(::send(link_.get(), &wanted, sizeof wanted, 0), static_cast<ssize_t>(sizeof wanted));
  wanted = message(LinkType::kSignal, kPrimary, SIGUSR2, 12);
  ASSERT_EQ(::send(link_.get(), &wanted, sizeof wanted, 0), static_cast<ssize_t>(sizeof wanted));
  // It leaves behind what it has not read, which the supervisor meets as an error first.
  supervisor_.event({});
  link_.reset();
  system_.ended.emplace_back(link_pid_, SIGKILL);
  turn();
  const std::vector<std::pair<pid_t, int>> expected = {{primary_pid_, SIGUSR1},
                                                       {primary_pid_, SIGUSR2}};
  EXPECT_EQ(system_.signals, expected);
}

// The kernel hands over a second one where there is room for one.
TEST_F(LinkLifeTest, MoreDescriptorsThanAMessageMayHaveAreClosed) {
  boot_running();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const common::UniqueFd reader(ends[0]);
  common::UniqueFd writer(ends[1]);
  LinkHeader said = message(LinkType::kMeasure, 0, 0, 11);
  const iovec part{&said, sizeof said};
  const std::array<int, 2> fds = {writer.get(), writer.get()};
  ASSERT_GT(common::send_fds(link_.get(), {&part, 1}, fds, 0), 0);
  writer.reset();
  turn();
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "nobody holds the other end";
}

TEST_F(LinkLifeTest, ADeathByItsFilterIsAnEventWithTheCallAndAsAnyOtherDeath) {
  boot_running();
  for (int i = 0; i < 7; ++i) {
    const LinkHeader said = message(LinkType::kForbiddenCall, 0, 41 + static_cast<uint32_t>(i));
    ASSERT_EQ(::send(link_.get(), &said, sizeof said, 0), static_cast<ssize_t>(sizeof said));
    EXPECT_EQ(ms_to_next(SIGSYS), i < 5 ? 0U : 40U << (i - 5));
    const auto died = events(hear(), EventKind::kLinkDied);
    ASSERT_FALSE(died.empty());
    EXPECT_EQ(died.back().header.value, 128U + SIGSYS);
    EXPECT_EQ(died.back().header.writer[1], 42U + static_cast<uint32_t>(i));
  }
  ms_to_next(SIGSYS);
  EXPECT_EQ(events(hear(), EventKind::kLinkDied).back().header.writer[1], 0U)
      << "not the last one's";
}

// What it said is believed of such a death alone.
TEST_F(LinkLifeTest, AForbiddenCallIsOfNoOtherDeath) {
  boot_running();
  say(message(LinkType::kForbiddenCall, 0, 41));
  ms_to_next(SIGKILL);
  EXPECT_EQ(events(hear(), EventKind::kLinkDied).back().header.writer[1], 0U);
}

TEST_F(LinkLifeTest, DeathsAndStartsAreEvents) {
  boot_running();
  restart_link();
  const auto heard = hear();
  const auto died = events(heard, EventKind::kLinkDied);
  ASSERT_EQ(died.size(), 1U);
  EXPECT_EQ(died[0].header.value, 128U + SIGKILL);
  EXPECT_EQ(events(heard, EventKind::kLinkStarted).back().header.value, 2U);
}

}  // namespace
}  // namespace tether
