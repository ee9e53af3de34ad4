// How long execs' rows are kept, and who ends with his client.
#include <fcntl.h>

#include <cerrno>

#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using ExpiryTest = SupervisorFixture;

TEST_F(ExpiryTest, TheTableIsBoundedAndTheOldestEndWithoutAClientMakesRoom) {
  boot_running();
  for (uint64_t i = 1; i <= kMaxSessions; ++i) {
    // All run on but the first two, the fifth, whose output nobody wants, and the one with a
    // client.
    const uint32_t session = exec(i, i == 5 ? kSessionDiscard : 0U);
    ASSERT_NE(session, 0U) << i;
    auto& launched = newest();
    const pid_t pid = run_newest();
    ++system_.now;
    if (i == 4) say(message(LinkType::kAttached, session, 1));
    if (i == 1 || i == 2 || i == 4 || i == 5) end(pid, launched, 0);
    if (i % 16 == 0) hear();
  }
  std::vector<uint32_t> gone;
  for (uint64_t i = 1000; i < 1003; ++i) {
    ask_exec(i);
    system_.now += Supervisor::kIntroduceMs;
    const auto heard = hear();
    ASSERT_EQ(only(heard, LinkType::kSession).size(), 1U) << i;
    gone.push_back(only(heard, LinkType::kGone).at(0).header.session - kPrimary);
  }
  EXPECT_EQ(gone, (std::vector<uint32_t>{5, 1, 2}));
  ask_exec(1003);
  const auto refused = hear(LinkType::kRefused);
  ASSERT_EQ(refused.size(), 1U) << "one has a client, all others run";
  EXPECT_EQ(refused[0].header.value, static_cast<uint32_t>(EAGAIN));
  EXPECT_NE(refused[0].payload.find("256 sessions"), std::string::npos);
}

TEST_F(ExpiryTest, AnEndThatNobodyComesForIsKeptForAMinute) {
  boot_running();
  const uint32_t session = exec(7);
  auto& launched = newest();
  end(run_newest(), launched, 0);
  hear();
  system_.now += 59999;
  EXPECT_TRUE(hear(LinkType::kGone).empty());
  system_.now += 2;
  const auto gone = hear(LinkType::kGone);
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].header.session, session);
}

TEST_F(ExpiryTest, ATransientOneIsKilledWhenItsClientStaysAway) {
  boot_running();
  const uint32_t session = exec(7, kSessionTransient);
  auto& launched = newest();
  const pid_t pid = run_newest();
  say(message(LinkType::kAttached, session, 1));
  system_.now += 1000000;
  turn();
  EXPECT_TRUE(system_.signals.empty()) << "for as long as the client is there";
  restart_link();
  system_.now += 14000;
  turn();
  say(message(LinkType::kAttached, session, 1));
  system_.now += 14000;
  turn();
  EXPECT_TRUE(system_.signals.empty()) << "it came back through the next link process";
  say(message(LinkType::kAttached, session, 0));
  system_.now += 14999;
  turn();
  EXPECT_TRUE(system_.signals.empty());
  system_.now += 2;
  turn();
  const std::vector<std::pair<pid_t, int>> expected = {{pid, SIGKILL}};
  EXPECT_EQ(system_.signals, expected);
  end(pid, launched, SIGKILL);
  hear();
  system_.now += 60001;
  EXPECT_EQ(hear(LinkType::kGone).size(), 1U);
}

TEST_F(ExpiryTest, ATransientOneThatNobodyEverAttachedToIsKilledEvenIfItTakesLongToLaunch) {
  boot_running();
  ASSERT_NE(exec(7, kSessionTransient), 0U);
  system_.now += 15001;
  turn();
  EXPECT_TRUE(system_.signals.empty()) << "there is no process yet";
  const pid_t pid = run_newest();
  system_.now += 1001;
  turn();
  const std::vector<std::pair<pid_t, int>> expected = {{pid, SIGKILL}};
  EXPECT_EQ(system_.signals, expected);
}

TEST_F(ExpiryTest, AnEndThatAClientIsReadingDoesNotExpire) {
  boot_running();
  const uint32_t session = exec(7);
  say(message(LinkType::kAttached, session, 1));
  auto& launched = newest();
  end(run_newest(), launched, 0);
  hear();
  system_.now += 600000;
  EXPECT_TRUE(hear(LinkType::kGone).empty());
  say(message(LinkType::kAttached, session, 0));
  system_.now += 59999;
  EXPECT_TRUE(hear(LinkType::kGone).empty());
  system_.now += 2;
  EXPECT_EQ(hear(LinkType::kGone).size(), 1U);
}

// As sshd does it, and `vch exec` does not.
TEST_F(ExpiryTest, ATransientOneWaitsForWhatItsProcessHasLeftRunningWhileThereIsAClient) {
  boot_running();
  const uint32_t session = exec(7, kSessionTransient);
  auto& launched = newest();
  const pid_t pid = run_newest();
  say(message(LinkType::kAttached, session, 1));
  common::UniqueFd left(::fcntl(launched.fds.at(1).get(), F_DUPFD_CLOEXEC, 3));
  end(pid, launched, 3 << 8);
  system_.now += 1000000;
  EXPECT_TRUE(hear(LinkType::kExit).empty());
  ASSERT_EQ(::write(left.get(), "late", 4), 4);
  EXPECT_EQ(hear(LinkType::kHead).size(), 1U);
  left.reset();
  const auto heard = hear(LinkType::kExit);
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].header.value, 3U);
}

TEST_F(ExpiryTest, WhatSeveralHaveLeftRunningIsNotWaitedForWithoutAClient) {
  boot_running();
  std::vector<common::UniqueFd> left;
  for (uint64_t i = 1; i <= 3; ++i) {
    ASSERT_NE(exec(i, kSessionTransient), 0U);
    auto& launched = newest();
    const pid_t pid = run_newest();
    left.emplace_back(::fcntl(launched.fds.at(1).get(), F_DUPFD_CLOEXEC, 3));
    end(pid, launched, 0);
  }
  system_.now += 14000;
  EXPECT_TRUE(hear(LinkType::kExit).empty()) << "the client of each may be on its way";
  system_.now += 1001;
  EXPECT_EQ(hear(LinkType::kExit).size(), 3U);
  EXPECT_TRUE(system_.signals.empty()) << "their numbers may be others'";
  for (const auto& fd : left) {
    const std::string text(4096, 'x');
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(::write(fd.get(), text.data(), text.size()), 4096) << i;
      turn();
    }
  }
  system_.now += 60001;
  EXPECT_EQ(hear(LinkType::kGone).size(), 3U);
}

}  // namespace
}  // namespace tether
