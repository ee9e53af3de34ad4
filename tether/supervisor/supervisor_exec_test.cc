// Execs that run and end, and helpers.
#include <poll.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "tether/supervisor/supervisor_exec_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;

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
  wanted = message(LinkType::kSignal, session, SIGINT, 13);
  wanted.stream = 2;  // of a terminal that it has not
  say(wanted);
  const std::vector<std::pair<pid_t, int>> expected = {
      {pid, SIGUSR1}, {-pid, SIGHUP}, {-pid, SIGINT}};
  EXPECT_EQ(system_.signals, expected);
  const auto told = events(hear(), EventKind::kSignal);
  ASSERT_EQ(told.size(), 3U) << "the first went to the former link process too";
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
