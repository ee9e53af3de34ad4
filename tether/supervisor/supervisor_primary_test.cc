#include <algorithm>
#include <cerrno>

#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::pb::RestartPolicy;

class PrimaryTest : public SupervisorFixture {
 protected:
  FakeSystem::Spawned& primary() { return newest(); }
  void stop(uint64_t request) { say(message(LinkType::kStop, 0, 0, request)); }
  void kill(int number, uint64_t request) {
    say(message(LinkType::kSignal, kPrimary, static_cast<uint32_t>(number), request));
  }
  void restart_policy(RestartPolicy::Kind kind, uint32_t max_retries = 0) {
    config_.mutable_restart()->set_kind(kind);
    config_.mutable_restart()->set_max_retries(max_retries);
  }
  bool wrote(const std::string& text) const {
    return std::count(system_.group_writes.begin(), system_.group_writes.end(), text) > 0;
  }
};

TEST_F(PrimaryTest, IsHeldUntilSomebodyIsAttached) {
  config_.mutable_primary()->set_hold_until_attach(true);
  boot();
  turn();
  EXPECT_EQ(system_.launches(), 0U);
  EXPECT_EQ(hear(LinkType::kSession).size(), 1U) << "it can be attached to";
  say(message(LinkType::kAttached, kPrimary, 1));
  EXPECT_EQ(system_.launches(), 1U);
  say(message(LinkType::kAttached, kPrimary, 2));
  EXPECT_EQ(system_.launches(), 1U);
  primary_pid_ = run_newest();
  EXPECT_EQ(events(hear(), EventKind::kSessionStarted).size(), 1U);
}

TEST_F(PrimaryTest, InputThatCameWhileItWasHeldIsThere) {
  config_.mutable_primary()->set_hold_until_attach(true);
  config_.mutable_primary()->set_open_stdin(true);
  boot();
  say(message(LinkType::kStdin, kPrimary, 0, 5), "early");
  say(message(LinkType::kAttached, kPrimary, 1));
  char seen[5] = {};
  ASSERT_EQ(::read(newest().fds.at(0).get(), seen, sizeof seen), 5);
  EXPECT_EQ(std::string(seen, 5), "early");
}

TEST_F(PrimaryTest, AStopEndsWhatIsHeld) {
  config_.mutable_primary()->set_hold_until_attach(true);
  boot();
  stop(1);
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.value, 143U);
  EXPECT_EQ(exits[0].header.offset, 15U);
  EXPECT_EQ(system_.launches(), 0U);
  say(message(LinkType::kExitAck, kPrimary));
  EXPECT_TRUE(supervisor_.finished());
}

TEST_F(PrimaryTest, IsRestartedAfterFailuresInOneUnendingStream) {
  restart_policy(RestartPolicy::ON_FAILURE, 2);
  boot();
  hear();
  for (uint32_t run = 0; run < 3; ++run) {
    auto& launched = primary();
    const pid_t pid = run_newest();
    print(launched, "x");
    end(pid, launched, 1 << 8);
    const auto heard = hear();
    const auto heads = only(heard, LinkType::kHead);
    ASSERT_FALSE(heads.empty());
    const auto begun = std::find_if(heads.begin(), heads.end(),
                                    [](const Heard& head) { return head.header.stream == 1; });
    EXPECT_EQ(begun->header.offset, run + 1) << "offsets go on";
    EXPECT_EQ(events(heard, EventKind::kSessionExited).size(), 1U);
    if (run == 2) {
      EXPECT_EQ(only(heard, LinkType::kExit).size(), 1U) << "two retries, no more";
      break;
    }
    EXPECT_TRUE(only(heard, LinkType::kExit).empty());
    for (const auto& head : heads) EXPECT_EQ(head.header.value, 0U) << "no end of file";
    const auto restarting = events(heard, EventKind::kRestarting);
    ASSERT_EQ(restarting.size(), 1U);
    EXPECT_EQ(restarting[0].header.value, run + 1);
    const uint64_t delay = run == 0 ? 100 : 200;
    EXPECT_EQ(restarting[0].header.writer[1], delay);
    EXPECT_EQ(system_.launches(), run + 1);
    system_.now += delay - 1;
    turn();
    EXPECT_EQ(system_.launches(), run + 1) << "not before its time";
    system_.now += 1;
    turn();
    ASSERT_EQ(system_.launches(), run + 2);
  }
}

TEST_F(PrimaryTest, AnotherPolicyHoldsFromTheNextEndOn) {
  boot();
  hear();
  auto& first = primary();
  const pid_t pid = run_newest();
  LinkHeader policy = message(LinkType::kRestartPolicy, 0, RestartPolicy::ON_FAILURE, 9);
  policy.offset = 1;
  say(policy);
  say(policy);
  auto heard = hear();
  EXPECT_EQ(events(heard, EventKind::kLimits).size(), 1U) << "the same request";
  EXPECT_EQ(only(heard, LinkType::kState).size(), 2U) << "answered both times";
  end(pid, first, 1 << 8);
  system_.now += 100;
  turn();
  ASSERT_EQ(system_.launches(), 2U);
  auto& second = primary();
  const pid_t again = run_newest();
  say(message(LinkType::kRestartPolicy, 0, 3, 10));
  EXPECT_EQ(hear(LinkType::kRefused).size(), 1U) << "there is no such policy";
  say(message(LinkType::kRestartPolicy, 0, RestartPolicy::NO, 11));
  end(again, second, 1 << 8);
  EXPECT_EQ(hear(LinkType::kExit).size(), 1U);
}

TEST_F(PrimaryTest, AStopMayHaveASignalOfItsOwn) {
  boot_running();
  LinkHeader wanted = message(LinkType::kStop, 0, 500, 1);
  wanted.stream = SIGUSR1;
  say(wanted);
  EXPECT_EQ(system_.signals.back(), std::pair(primary_pid_, SIGUSR1));
  wanted.writer = {2, 0};
  wanted.stream = 1000;
  say(wanted);
  EXPECT_EQ(system_.signals.back(), std::pair(primary_pid_, SIGTERM)) << "there is none such";
}

TEST_F(PrimaryTest, SuccessEndsOnFailure) {
  restart_policy(RestartPolicy::ON_FAILURE);
  boot();
  auto& launched = primary();
  end(run_newest(), launched, 0);
  EXPECT_EQ(hear(LinkType::kExit).size(), 1U);
}

TEST_F(PrimaryTest, AKillByHandIsTheLastEnd) {
  restart_policy(RestartPolicy::ALWAYS);
  boot();
  auto& launched = primary();
  const pid_t pid = run_newest();
  kill(SIGKILL, 1);
  end(pid, launched, SIGKILL);
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.value, 137U);
}

TEST_F(PrimaryTest, AnotherSignalThanTheStopSignalLeavesThePolicyAlone) {
  restart_policy(RestartPolicy::ALWAYS);
  config_.mutable_primary()->set_stop_signal(SIGQUIT);
  boot();
  auto& launched = primary();
  const pid_t pid = run_newest();
  kill(SIGHUP, 1);
  end(pid, launched, SIGHUP);
  EXPECT_TRUE(hear(LinkType::kExit).empty());
}

TEST_F(PrimaryTest, AStopBetweenTwoRunsIsTheEnd) {
  restart_policy(RestartPolicy::ALWAYS);
  boot();
  auto& launched = primary();
  end(run_newest(), launched, 4 << 8);
  EXPECT_TRUE(hear(LinkType::kExit).empty());
  stop(1);
  const auto heard = hear();
  const auto exits = only(heard, LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.value, 4U) << "the last run's";
  for (const auto& head : only(heard, LinkType::kHead)) EXPECT_EQ(head.header.value, 1U);
  system_.now += 1000;
  turn();
  EXPECT_EQ(system_.launches(), 1U);
}

TEST_F(PrimaryTest, ANewLinkProcessHearsNoEndBetweenTwoRuns) {
  restart_policy(RestartPolicy::ALWAYS);
  boot();
  auto& launched = primary();
  end(run_newest(), launched, 4 << 8);
  restart_link();
  const auto heard = hear();
  EXPECT_TRUE(only(heard, LinkType::kExit).empty());
  for (const auto& head : only(heard, LinkType::kHead)) EXPECT_EQ(head.header.value, 0U);
  EXPECT_EQ(only(heard, LinkType::kState).at(0).header.offset, 1U);
}

TEST_F(PrimaryTest, ANewLinkProcessHearsOfEventsBeforeItsTime) {
  boot_running();
  restart_link();
  const auto heard = hear();
  const auto told = only(heard, LinkType::kEvent);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].header.offset, i + 1) << "a hole";
  EXPECT_EQ(events(heard, EventKind::kSessionStarted).size(), 1U);
  EXPECT_EQ(events(heard, EventKind::kLinkStarted).size(), 2U);
  EXPECT_EQ(events(heard, EventKind::kLinkDied).size(), 1U);
}

TEST_F(PrimaryTest, InputOfARunThatEndedIsGoneAndLaterInputGoesToTheNext) {
  restart_policy(RestartPolicy::ALWAYS);
  config_.mutable_primary()->set_open_stdin(true);
  boot();
  auto& launched = primary();
  const pid_t pid = run_newest();
  say(message(LinkType::kStdin, kPrimary, 0, 5), "first");
  end(pid, launched, 1 << 8);
  hear();
  LinkHeader more = message(LinkType::kStdin, kPrimary, 0, 5);
  more.offset = 5;
  say(more, "second");
  for (const auto& ack : hear(LinkType::kStdinAck)) EXPECT_EQ(ack.header.value, 0U) << "not closed";
  system_.now += 100;
  turn();
  ASSERT_EQ(system_.launches(), 2U);
  char seen[16] = {};
  const ssize_t n = ::read(newest().fds.at(0).get(), seen, sizeof seen);
  EXPECT_EQ(std::string(seen, static_cast<size_t>(std::max<ssize_t>(n, 0))), "second");
}

TEST_F(PrimaryTest, IsPausedWhenItStandsStill) {
  boot_running();
  say(message(LinkType::kPause, 0, 1, 31));
  EXPECT_TRUE(wrote("cgroup.freeze=1"));
  auto heard = hear();
  EXPECT_TRUE(only(heard, LinkType::kState).empty()) << "not yet";
  system_.is_frozen = true;
  heard = hear();
  const auto states = only(heard, LinkType::kState);
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].header.value, 1U);
  EXPECT_EQ(states[0].header.writer[0], 31U);
  EXPECT_EQ(events(heard, EventKind::kPaused).size(), 1U);
  ask_exec(7);
  EXPECT_EQ(hear(LinkType::kRefused).at(0).header.value, static_cast<uint32_t>(EBUSY));
  say(message(LinkType::kPause, 0, 1, 31));
  EXPECT_EQ(hear(LinkType::kState).size(), 1U) << "the same request again";
  say(message(LinkType::kPause, 0, 1, 32));
  EXPECT_EQ(hear(LinkType::kRefused).size(), 1U) << "another one";
  say(message(LinkType::kPause, 0, 0, 33));
  EXPECT_TRUE(wrote("cgroup.freeze=0"));
  heard = hear();
  EXPECT_EQ(events(heard, EventKind::kUnpaused).size(), 1U);
  EXPECT_EQ(only(heard, LinkType::kState).back().header.value, 0U);
  EXPECT_NE(exec(8), 0U);
  say(message(LinkType::kPause, 0, 0, 34));
  EXPECT_EQ(hear(LinkType::kRefused).size(), 1U) << "it is not paused";
}

TEST_F(PrimaryTest, AStopThawsFirst) {
  boot_running();
  system_.is_frozen = true;
  say(message(LinkType::kPause, 0, 1, 31));
  hear();
  stop(1);
  EXPECT_TRUE(wrote("cgroup.freeze=0"));
  EXPECT_EQ(system_.signals.back(), std::pair(primary_pid_, SIGTERM));
  const auto heard = hear();
  EXPECT_EQ(events(heard, EventKind::kUnpaused).size(), 1U);
  EXPECT_EQ(events(heard, EventKind::kSignal).size(), 1U);
}

TEST_F(PrimaryTest, AStopKillsEverythingAfterItsGrace) {
  boot_running();
  LinkHeader wanted = message(LinkType::kStop, 0, 500, 1);
  say(wanted);
  say(wanted);
  EXPECT_EQ(system_.signals.size(), 1U) << "the same request";
  EXPECT_FALSE(wrote("cgroup.kill=1"));
  system_.now += 500;
  turn();
  EXPECT_TRUE(wrote("cgroup.kill=1"));
}

// Whoever was killed there may be dying still, and its groups with them.
TEST_F(PrimaryTest, AGroupThatCannotHaveItYetIsTriedAgain) {
  restart_policy(RestartPolicy::ALWAYS);
  boot();
  auto& launched = primary();
  const pid_t pid = run_newest();
  end(pid, launched, 1 << 8);
  const size_t launches = system_.launches();
  system_.spawn_errno = EBUSY;
  system_.now += 1000;
  turn();
  EXPECT_EQ(system_.cleared, 1);
  system_.now += 1000;
  turn();
  EXPECT_EQ(system_.cleared, 2);
  system_.spawn_errno = 0;
  system_.now += 1000;
  turn();
  EXPECT_GT(system_.launches(), launches);
  EXPECT_TRUE(hear(LinkType::kExit).empty());
}

}  // namespace
}  // namespace tether
