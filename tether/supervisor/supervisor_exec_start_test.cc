// Execs until they run: who is asked to start them, and how the link process learns of them.
#include <algorithm>
#include <cerrno>

#include "tether/supervisor/supervisor_exec_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;

TEST_F(ExecTest, IsAskedOfALauncherThatHasJoinedThePrimaryByADescriptorOfItsProcess) {
  boot();
  EXPECT_FALSE(newest().fds.contains(kLaunchJoinFd));
  run_newest();
  await_launcher();
  EXPECT_EQ(newest().role, "launch");
  EXPECT_TRUE(newest().fds.at(kLaunchJoinFd));
  const size_t spawned = system_.spawned.size();
  ASSERT_NE(exec(7, kSessionStdinOpen), 0U);
  ASSERT_EQ(system_.spawned.size(), spawned + 1);
  EXPECT_EQ(newest().pid, 0) << "no process of PID 1's";
  EXPECT_FALSE(newest().outside);
  for (const int fd : {0, 1, 2, kLaunchStatusFd, kLaunchSpecFd}) EXPECT_TRUE(newest().fds.at(fd));
  ASSERT_NE(exec(8, kSessionOutside), 0U);
  EXPECT_TRUE(newest().outside);
  EXPECT_FALSE(newest().fds.contains(0));
  ASSERT_NE(exec(9, kSessionApart), 0U);
  EXPECT_NE(newest().pid, 0) << "one of its own";
  EXPECT_TRUE(newest().fds.at(kLaunchJoinFd));
}

TEST_F(ExecTest, ALauncherThatDiesLosesNothing) {
  boot_running();
  ASSERT_NE(exec(7), 0U);
  auto& running = newest();
  const pid_t pid = run(running);
  const uint32_t waiting = exec(8);
  newest().fds.clear();  // what it was given dies with it
  kill_launcher();
  auto& again = newest();
  EXPECT_TRUE(again.fds.at(kLaunchStatusFd)) << "asked of the next one";
  EXPECT_EQ(system_.launches(), 4U) << "the primary, two, and one of them again";
  print(again, "on");
  end(run(again), again, 5 << 8);
  auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.session, waiting);
  EXPECT_EQ(exits[0].header.value, 5U);
  end(pid, running, 6 << 8);
  exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U) << "what runs is no launcher's";
  EXPECT_EQ(exits[0].header.value, 6U);
}

TEST_F(ExecTest, OneWhoseLaunchersAllDieFailsWithAReason) {
  boot_running();
  const uint32_t session = exec(7);
  for (int i = 0; i < 3; ++i) {
    newest().fds.clear();
    kill_launcher();
  }
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.session, session);
  EXPECT_EQ(exits[0].header.value, 125U);
  EXPECT_EQ(exits[0].payload, "launcher");
  EXPECT_NE(exec(8), 0U);
}

TEST_F(ExecTest, AProcessThatWasClonedIsNotClonedAgainByAnotherLauncher) {
  boot_running();
  ASSERT_NE(exec(7), 0U);
  auto& cloned = newest();
  kill_launcher();
  EXPECT_EQ(&newest(), &cloned) << "it has its status still: it will speak";
  end(run(cloned), cloned, 5 << 8);
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.value, 5U);
}

TEST_F(ExecTest, IsRunOnceHoweverOftenItIsAskedFor) {
  boot_running();
  const uint32_t session = exec(7);
  EXPECT_EQ(exec(7), session);
  restart_link();
  EXPECT_EQ(hear(LinkType::kSession).size(), 2U) << "the primary and the exec";
  EXPECT_EQ(exec(7), session);
  EXPECT_EQ(system_.launches(), 2U);
  EXPECT_NE(exec(8), session);
  EXPECT_EQ(system_.launches(), 3U);
}

TEST_F(ExecTest, IsIntroducedOnceItsProgramRunsWithWhatBecameOfItMeanwhile) {
  boot_running();
  ask_exec(7);
  EXPECT_TRUE(hear().empty());
  auto& launched = newest();
  const pid_t pid = begin(launched);
  print(launched, "x");
  EXPECT_TRUE(hear().empty());
  end(pid, launched, 3 << 8);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 5U);
  EXPECT_EQ(heard[0].header.type, LinkType::kSession);
  EXPECT_EQ(heard[0].header.value & (kSessionFresh | kSessionRunning),
            kSessionFresh | kSessionRunning);
  EXPECT_EQ(heard[0].header.offset, static_cast<uint64_t>(pid));
  EXPECT_EQ(heard[1].header.type, LinkType::kHead);
  EXPECT_EQ(heard[1].header.offset, 1U);
  EXPECT_EQ(heard[2].header.type, LinkType::kEvent);
  EXPECT_EQ(heard[3].header.type, LinkType::kEvent);
  EXPECT_EQ(heard[4].header.type, LinkType::kExit);
}

TEST_F(ExecTest, OneWhoseProgramDoesNotComeIsIntroducedAllTheSame) {
  boot_running();
  ask_exec(7);
  system_.now += Supervisor::kIntroduceMs - 1;
  EXPECT_TRUE(hear().empty());
  ask_exec(8);
  ++system_.now;
  const auto heard = hear();
  EXPECT_EQ(only(heard, LinkType::kSession).size(), 2U);
  EXPECT_EQ(heard.size(), 2U) << "a fresh session is one message";
  EXPECT_EQ(heard[0].header.value & (kSessionFresh | kSessionRunning), kSessionFresh);
  system_.now += Supervisor::kIntroduceMs;
  EXPECT_TRUE(hear().empty());
}

TEST_F(ExecTest, OneThatNeedsTheProcessorIsLeftAloneForAMoment) {
  boot_running();
  ask_exec(7);
  system_.is_busy = true;
  run(newest());
  EXPECT_TRUE(hear().empty());
  system_.now += Supervisor::kBusyMs - 1;
  EXPECT_TRUE(hear().empty());
  ++system_.now;
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 2U);
  EXPECT_EQ(heard[0].header.type, LinkType::kSession);
  EXPECT_NE(heard[0].header.value & kSessionRunning, 0U);
  EXPECT_EQ(heard[1].header.type, LinkType::kEvent);
}

TEST_F(ExecTest, OneThatNeedsTheProcessorIsIntroducedWithWhatItSays) {
  boot_running();
  ask_exec(7);
  system_.is_busy = true;
  auto& launched = newest();
  run(launched);
  print(launched, "x");
  const auto heard = hear();
  ASSERT_GE(heard.size(), 2U);
  EXPECT_EQ(heard[0].header.type, LinkType::kSession);
  EXPECT_NE(heard[0].header.value & kSessionRunning, 0U);
  EXPECT_EQ(only(heard, LinkType::kHead).back().header.offset, 1U);
}

TEST_F(ExecTest, OneThatEndsBeforeItIsIntroducedHasBegunFirst) {
  boot_running();
  ask_exec(7);
  system_.is_busy = true;
  auto& launched = newest();
  end(run(launched), launched, 3 << 8);
  const auto heard = hear();
  ASSERT_EQ(heard.size(), 4U);
  EXPECT_EQ(heard[0].header.type, LinkType::kSession);
  EXPECT_NE(heard[0].header.value & kSessionRunning, 0U);
  EXPECT_EQ(heard[1].header.type, LinkType::kEvent);
  EXPECT_EQ(heard[2].header.type, LinkType::kEvent);
  EXPECT_EQ(heard[3].header.type, LinkType::kExit);
}

TEST_F(ExecTest, ANewLinkProcessIsToldOfItAtOnce) {
  boot_running();
  ask_exec(7);
  restart_link();
  EXPECT_EQ(hear(LinkType::kSession).size(), 2U) << "the primary, and it";
}

TEST_F(ExecTest, OneThatIsLeftTheProcessorHasBegunForANewLinkProcess) {
  boot_running();
  ask_exec(7);
  system_.is_busy = true;
  run_newest();
  restart_link();
  const auto told = hear(LinkType::kSession);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_NE(told.back().header.value & kSessionRunning, 0U);
}

TEST_F(ExecTest, OneThatIsLeftTheProcessorHasBegunWhenItIsAskedForAgain) {
  boot_running();
  ask_exec(7);
  system_.is_busy = true;
  run_newest();
  ask_exec(7);
  const auto told = hear(LinkType::kSession);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told.back().header.value & kSessionRunning, 0U);
}

// A SIGCHLD is one however many end: none may be taken from the turn that needs it.
TEST_F(ExecTest, MoreEndsThanOneTurnReapsAreTheNextOnes) {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);  // as PID 1 has it
  boot_running();
  for (int i = 0; i < 200; ++i) system_.ended.emplace_back(system_.next_pid++, 0);
  ::kill(::getpid(), SIGCHLD);
  supervisor_.turn(0);
  ASSERT_FALSE(system_.ended.empty());
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGCHLD), 1);
  turn();
  EXPECT_TRUE(system_.ended.empty());
  ::sigprocmask(SIG_UNBLOCK, &child, nullptr);
}

TEST_F(ExecTest, OneThatNobodyHasReadIsFreshToTheNextLinkProcessToo) {
  boot_running();
  exec(7);
  auto& launched = newest();
  run_newest();
  print(launched, "x");
  EXPECT_EQ(hear(LinkType::kHead).size(), 1U);
  restart_link();
  const auto anew = hear();
  EXPECT_NE(only(anew, LinkType::kSession).back().header.value & kSessionFresh, 0U);
  EXPECT_EQ(only(anew, LinkType::kHead).back().header.offset, 1U);
}

TEST_F(ExecTest, OneThatHadInputIsNotFreshToTheNextLinkProcess) {
  boot_running();
  const uint32_t typed_to = exec(7, kSessionStdinOpen);
  const uint32_t ended = exec(8, kSessionStdinOpen);
  const uint32_t idle = exec(9, kSessionStdinOpen);
  LinkHeader input = message(LinkType::kStdin, typed_to);
  input.writer = {1, 1};
  say(input, "x");
  say(message(LinkType::kStdinEof, ended));
  restart_link();
  const auto anew = hear();
  for (const auto& told : only(anew, LinkType::kSession)) {
    if (told.header.session == kPrimary) continue;
    EXPECT_EQ((told.header.value & kSessionFresh) != 0, told.header.session == idle)
        << told.header.session;
  }
}

TEST_F(ExecTest, OneThatHadAClientIsNotFreshToTheNextLinkProcess) {
  boot_running();
  LinkHeader attached = message(LinkType::kAttached, exec(7), 1);
  attached.stream = 1;
  say(attached);
  restart_link();
  const auto anew = hear();
  EXPECT_EQ(only(anew, LinkType::kSession).back().header.value & kSessionFresh, 0U);
  for (const auto& tail : only(anew, LinkType::kTail)) {
    if (tail.header.session == kPrimary) continue;
    EXPECT_EQ(tail.header.value, 1U) << "there was a client";
  }
}

TEST_F(ExecTest, WhatIsSaidBeforeTheExecveIsReadWithIt) {
  boot_running();
  const uint32_t session = exec(7);
  auto& launched = newest();
  const pid_t pid = begin(launched);
  EXPECT_TRUE(events(hear(), protocol::EventKind::kSessionStarted).empty());
  launched.fds.at(kLaunchStatusFd).reset();
  const auto started = events(hear(), protocol::EventKind::kSessionStarted);
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0].header.session, session);
  EXPECT_EQ(started[0].header.value, static_cast<uint32_t>(pid));
}

TEST_F(ExecTest, TheLauncherComesOnceTheContainerHasBegunOrWithTheFirstExec) {
  boot();
  run_newest();
  const auto launchers = [&] {
    return std::count_if(system_.spawned.begin(), system_.spawned.end(),
                         [](const auto& spawned) { return spawned.stays; });
  };
  system_.now += Supervisor::kLauncherMs - 1;
  turn();
  EXPECT_EQ(launchers(), 0);
  exec(7);
  EXPECT_EQ(launchers(), 1);
  ++system_.now;
  turn();
  EXPECT_EQ(launchers(), 1) << "there is one";
}

TEST_F(ExecTest, ALauncherWithAFilterServesThoseThatHaveItAndAnotherTheRest) {
  boot_running();
  EXPECT_TRUE(launcher().fds.contains(kLaunchSealedFd));
  const pid_t sealing = launcher().pid;
  exec(7);
  EXPECT_EQ(launcher().pid, sealing);
  say(message(LinkType::kLaunch, 0, 0, 8), {}, spec().get());
  const pid_t other = launcher().pid;
  EXPECT_NE(other, sealing);
  EXPECT_FALSE(launcher().fds.contains(kLaunchSealedFd));
  run_newest();
  exec(9);
  say(message(LinkType::kLaunch, 0, 0, 10), {}, spec().get());
  EXPECT_EQ(launcher().pid, other) << "both stay";
  system_.signals.clear();
  say(message(LinkType::kRestartLink, 0, 0, 41));
  EXPECT_EQ(
      std::count_if(system_.signals.begin(), system_.signals.end(),
                    [&](const auto& sent) { return sent.first == sealing || sent.first == other; }),
      2);
}

TEST_F(ExecTest, OneThatCannotStartSaysWhyAndDisturbsNothing) {
  boot_running();
  const uint32_t session = exec(7);
  fail_newest(protocol::Stage::kFindProgram, ENOENT, "nonsense (not in PATH)");
  const auto heard = hear();
  const auto exits = only(heard, LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.session, session);
  EXPECT_EQ(exits[0].header.value, 127U);
  EXPECT_EQ(exits[0].header.writer[0], static_cast<uint64_t>(protocol::Stage::kFindProgram));
  EXPECT_EQ(exits[0].payload, "nonsense (not in PATH)");
  EXPECT_EQ(events(heard, EventKind::kFailure).size(), 1U);
  EXPECT_FALSE(supervisor_.finished());
  EXPECT_NE(exec(8), 0U);
}

TEST_F(ExecTest, IsRefusedWithAReasonWhenTheContainerDoesNotRun) {
  const auto refusal = [this](uint64_t request) {
    ask_exec(request);
    const auto refused = hear(LinkType::kRefused);
    return refused.empty() ? 0 : static_cast<int>(refused[0].header.value);
  };
  boot();
  EXPECT_EQ(refusal(1), EAGAIN) << "not started yet";
  auto& primary = newest();
  primary_pid_ = run(primary);
  await_launcher();
  hear();
  say(message(LinkType::kLaunch, 0, 0, 2), {}, spec(false).get());
  EXPECT_EQ(hear(LinkType::kRefused).at(0).header.value, static_cast<uint32_t>(EINVAL))
      << "not sealed";
  say(message(LinkType::kLaunch, 0, 0, 3));
  EXPECT_EQ(hear(LinkType::kRefused).at(0).header.value, static_cast<uint32_t>(EINVAL));
  kill_launcher();
  system_.spawn_errno = EMFILE;
  EXPECT_EQ(refusal(4), EMFILE);
  system_.spawn_errno = 0;
  EXPECT_NE(exec(4), 0U) << "what was refused may be tried again";
  end(primary_pid_, primary, 0);
  EXPECT_EQ(refusal(5), ESRCH);
}

}  // namespace
}  // namespace tether
