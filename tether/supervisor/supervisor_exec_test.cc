#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;

class ExecTest : public SupervisorFixture {
 protected:
  void acknowledge(uint32_t session) { say(message(LinkType::kExitAck, session)); }
};

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

TEST_F(ExecTest, OutputThenEofThenExitThenItsRowIsFree) {
  boot_running();
  const uint32_t session = exec(7);
  auto& launched = newest();
  const pid_t pid = run_newest();
  print(launched, "hello");
  end(pid, launched, 3 << 8);
  std::string shape;
  for (const auto& heard : hear()) {
    if (heard.header.session != session) continue;
    if (heard.header.type == LinkType::kHead) shape += heard.header.value == 1 ? 'E' : 'h';
    if (heard.header.type == LinkType::kExit) {
      shape += 'X';
      EXPECT_EQ(heard.header.value, 3U);
    }
  }
  EXPECT_EQ(shape, "hX") << "a head with bytes, and the exit, which says that there is no more";
  acknowledge(session);
  EXPECT_TRUE(hear(LinkType::kGone).empty()) << "who acknowledged knows";
  ask_exec(7);
  const auto refused = hear(LinkType::kRefused);
  ASSERT_EQ(refused.size(), 1U) << "it was run: it is not run again";
  EXPECT_EQ(refused[0].header.value, static_cast<uint32_t>(ESTALE));
  EXPECT_GT(exec(8), session) << "no id is used twice";
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

TEST_F(ExecTest, ANewLinkProcessIsToldOfItAtOnce) {
  boot_running();
  ask_exec(7);
  restart_link();
  EXPECT_EQ(hear(LinkType::kSession).size(), 2U) << "the primary, and it";
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

// As a daemon that was started in the background and keeps its parent's stdout.
TEST_F(ExecTest, WhatADescendantWritesAfterTheEndIsReadAndThrownAway) {
  boot_running();
  const uint32_t session = exec(7);
  auto& launched = newest();
  const pid_t pid = run_newest();
  const common::UniqueFd daemon(::fcntl(launched.fds.at(1).get(), F_DUPFD_CLOEXEC, 3));
  ::fcntl(daemon.get(), F_SETFL, O_NONBLOCK);
  print(launched, "last words");
  end(pid, launched, 0);
  const auto heard = hear();
  ASSERT_EQ(only(heard, LinkType::kExit).size(), 1U) << "the end waits for no descendant";
  acknowledge(session);
  const std::string text(4096, 'x');
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(::write(daemon.get(), text.data(), text.size()), 4096) << i;
    turn();
  }
}

TEST_F(ExecTest, ClientsOfExecsGetTheirEndsBeforeTheMachineEnds) {
  boot_running();
  auto& primary = system_.spawned.at(1);
  const uint32_t session = exec(7);
  say(message(LinkType::kAttached, kPrimary, 1));
  say(message(LinkType::kAttached, session, 1));
  auto& launched = newest();
  const pid_t pid = run_newest();
  end(pid, launched, SIGKILL);
  end(primary_pid_, primary, 0);
  acknowledge(kPrimary);
  EXPECT_FALSE(supervisor_.finished());
  acknowledge(session);
  EXPECT_TRUE(supervisor_.finished());
}

TEST_F(ExecTest, AClientOfAnExecThatTakesNothingHoldsTheEndUpForABoundedTime) {
  boot_running();
  auto& primary = system_.spawned.at(1);
  const uint32_t session = exec(7);
  say(message(LinkType::kAttached, kPrimary, 1));
  say(message(LinkType::kAttached, session, 1));
  auto& launched = newest();
  end(run_newest(), launched, SIGKILL);
  end(primary_pid_, primary, 0);
  acknowledge(kPrimary);
  EXPECT_FALSE(supervisor_.finished());
  system_.now += 10001;
  EXPECT_TRUE(supervisor_.finished());
}

TEST_F(ExecTest, ALinkProcessThatIsBehindIsToldEverythingInTheEnd) {
  boot_running();
  std::vector<pid_t> pids;
  for (uint64_t i = 1; i <= kMaxSessions; ++i) {
    ask_exec(i);
    pids.push_back(run_newest());
  }
  for (size_t i = 0; i < pids.size(); ++i) end(pids[i], system_.spawned.at(2 + i), 0);
  EXPECT_TRUE(system_.signals.empty()) << "it was not taken for hung";
  std::map<uint32_t, std::string> shapes;
  for (size_t quiet = 0; quiet < 3;) {
    const auto heard = hear();
    quiet = heard.empty() ? quiet + 1 : 0;
    for (const auto& one : heard) {
      if (one.header.type == LinkType::kSession) shapes[one.header.session] += 'S';
      if (one.header.type == LinkType::kExit) shapes[one.header.session] += 'X';
    }
  }
  EXPECT_EQ(shapes.size(), kMaxSessions);
  for (const auto& [id, shape] : shapes) EXPECT_EQ(shape, "SX") << id;
}

// The kernel forgets a closed descriptor only once nobody holds it, a child on its way to exec
// included.
TEST_F(ExecTest, WhatAForkedChildStillHoldsLeavesTheLoopAlone) {
  boot_running();
  const uint32_t session = exec(7, kSessionStdinOpen);
  std::set<int> other_ends = {link_.get()};
  for (const auto& process : system_.spawned) {
    for (const auto& [slot, fd] : process.fds) other_ends.insert(fd.get());
  }
  std::vector<common::UniqueFd> copies;
  int epoll = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) == "anon_inode:[eventpoll]") epoll = fd;
    if (!other_ends.contains(fd)) copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  }
  ASSERT_GE(epoll, 0);
  auto& launched = newest();
  end(run_newest(), launched, 0);
  acknowledge(session);
  hear();
  turn(20);
  pollfd ready{epoll, POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 0);
}

TEST_F(ExecTest, ReapsABoundedNumberInOneTurn) {
  boot_running();
  for (int i = 0; i < 1000; ++i) system_.ended.emplace_back(50000 + i, 0);
  const int before = system_.reaped;
  turn(1);
  EXPECT_LE(system_.reaped - before, 128);
  turn(8);
  EXPECT_EQ(system_.reaped - before, 1000);
}

TEST_F(ExecTest, SignalsGoToTheProcessOrItsGroupOnceEach) {
  boot_running();
  const uint32_t session = exec(7);
  const pid_t pid = run_newest();
  hear();
  LinkHeader wanted = message(LinkType::kSignal, session, SIGUSR1, 11);
  say(wanted);
  restart_link();
  say(wanted);
  wanted = message(LinkType::kSignal, session, SIGHUP, 12);
  wanted.stream = 1;
  say(wanted);
  const std::vector<std::pair<pid_t, int>> expected = {{pid, SIGUSR1}, {-pid, SIGHUP}};
  EXPECT_EQ(system_.signals, expected);
  const auto told = events(hear(), EventKind::kSignal);
  ASSERT_EQ(told.size(), 2U) << "the first went to the former link process too";
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(SIGUSR1));
  EXPECT_EQ(told[1].header.value, static_cast<uint32_t>(SIGHUP));
  EXPECT_EQ(told[1].header.writer[1], 1U);
}

TEST_F(ExecTest, MemoryAndDescriptorsAreMeasuredOfSupervisorLinkProcessAndLauncher) {
  boot_running();
  say(message(LinkType::kMeasure, 0, 0, 33));
  const auto told = hear(LinkType::kMemory);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.writer[0], 33U);
  const auto all = static_cast<uint64_t>(::getpid() + link_pid_ + launcher().pid);
  EXPECT_EQ(told[0].header.offset, 10U * all);
  EXPECT_EQ(told[0].header.value, all + 3);
  EXPECT_EQ(told[0].header.session, 0U);
}

TEST_F(ExecTest, ListsOfProcessesAreAHelpersWork) {
  boot_running();
  const common::UniqueFd list(::memfd_create("list", MFD_CLOEXEC));
  say(message(LinkType::kListProcesses, 0, 0, 21), {}, list.get());
  ASSERT_EQ(newest().role, "top");
  system_.ended.emplace_back(newest().pid, 0);
  auto told = hear(LinkType::kProcesses);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.writer[0], 21U);
  EXPECT_EQ(told[0].header.value, 0U);
  say(message(LinkType::kListProcesses, 0, 0, 22), {}, list.get());
  system_.ended.emplace_back(newest().pid, SIGALRM);
  EXPECT_EQ(hear(LinkType::kProcesses).at(0).header.value, static_cast<uint32_t>(ETIMEDOUT));
  for (uint64_t request = 23; request < 28; ++request) {
    say(message(LinkType::kListProcesses, 0, 0, request), {}, list.get());
  }
  EXPECT_EQ(hear(LinkType::kRefused).size(), 1U) << "four at once";
}

TEST_F(ExecTest, LimitsAreChangedByAHelperAndThatIsAnEvent) {
  boot_running();
  const common::UniqueFd limits(::memfd_create("limits", MFD_CLOEXEC));
  say(message(LinkType::kUpdate, 0, 0, 21));
  EXPECT_EQ(hear(LinkType::kRefused).size(), 1U) << "without a file";
  say(message(LinkType::kUpdate, 0, 0, 22), {}, limits.get());
  ASSERT_EQ(newest().role, "limits");
  system_.ended.emplace_back(newest().pid, EBUSY << 8);
  auto told = hear();
  ASSERT_EQ(told.size(), 1U) << "no event: nothing was changed";
  EXPECT_EQ(told[0].header.type, LinkType::kUpdated);
  EXPECT_EQ(told[0].header.writer[0], 22U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(EBUSY));
  say(message(LinkType::kUpdate, 0, 0, 23), {}, limits.get());
  system_.ended.emplace_back(newest().pid, 0);
  told = hear();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].header.value, 0U);
  EXPECT_EQ(told[1].header.stream & 0xffffU, static_cast<uint32_t>(protocol::EventKind::kLimits));
}

}  // namespace
}  // namespace tether
