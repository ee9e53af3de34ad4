// What a session's process says of itself while it is launched, which somebody else in the
// container may say in its stead: little of it is believed, and none of it holds PID 1 up.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "tether/supervisor/supervisor_exec_fixture.h"

namespace tether {
namespace {

class ReportsTest : public ExecTest {
 protected:
  static LaunchReport started(pid_t pid) {
    LaunchReport out;
    out.event = LaunchEvent::kStarted;
    out.pid = pid;
    return out;
  }
  // As the primary's launcher does it.
  void give_terminals() {
    LaunchReport report;
    report.event = LaunchEvent::kTerminals;
    const iovec part{&report, sizeof report};
    const common::UniqueFd ptmx(::open("/dev/ptmx", O_PATH | O_CLOEXEC));
    const int fd = ptmx.get();
    ASSERT_GT(common::send_fds(newest().fds.at(kLaunchStatusFd).get(), {&part, 1}, {&fd, 1}, 0), 0);
  }
  static bool is_pipe(const common::UniqueFd& fd) {
    struct stat about {};
    return ::fstat(fd.get(), &about) == 0 && S_ISFIFO(about.st_mode);
  }
};

TEST_F(ReportsTest, MoreThanThereCanBeAreNotRead) {
  boot_running();
  ASSERT_NE(exec(7), 0U);
  auto& launched = newest();
  ASSERT_TRUE(is_pipe(launched.fds.at(kLaunchStatusFd))) << "no descriptor comes through it";
  LaunchReport again = started(0);
  for (int i = 0; i < 8; ++i) report(launched, again);
  launched.fds.at(kLaunchStatusFd).reset();
  turn();
  EXPECT_NE(&newest(), &launched) << "none of them was a process: it is asked for again";
  ASSERT_NE(exec(8, kSessionTty), 0U);
  auto& terminal = newest();
  const common::UniqueFd theirs(
      ::fcntl(terminal.fds.at(kLaunchStatusFd).get(), F_DUPFD_CLOEXEC, 3));
  again.event = LaunchEvent::kFailed;
  const auto speak = [&] {
    return ::send(theirs.get(), &again, sizeof again, MSG_NOSIGNAL | MSG_DONTWAIT);
  };
  for (int i = 0; i < 8; ++i) ASSERT_GT(speak(), 0);
  turn();
  EXPECT_EQ(speak(), -1) << "nobody listens any more";
  EXPECT_EQ(hear(LinkType::kExit).size(), 1U) << "it has failed, as it said";
}

TEST_F(ReportsTest, APidIsBelievedOnceAndOnlyOfAChildWithoutAnotherRole) {
  boot_running();
  ASSERT_NE(exec(7), 0U);
  auto& launched = newest();
  const pid_t stranger = system_.next_pid++;
  system_.strangers.insert(stranger);
  for (const pid_t pid : {stranger, link_pid_, primary_pid_, launcher().pid, 0, -1}) {
    auto& asked = newest();
    report(asked, started(pid));
    asked.fds.clear();
    turn();
    if (&newest() == &asked) break;  // it has been asked for as often as it may be
  }
  EXPECT_EQ(&newest(), &system_.spawned.back());
  EXPECT_NE(&newest(), &launched) << "there was no process, so it is asked for again";
  EXPECT_EQ(hear(LinkType::kExit).size(), 1U) << "three times";

  const uint32_t session = exec(8);
  auto& good = newest();
  const pid_t pid = begin(good);
  report(good, started(system_.next_pid++));
  end(pid, good, 5 << 8);
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.session, session);
  EXPECT_EQ(exits[0].header.value, 5U) << "the first one that it named is its process";
}

TEST_F(ReportsTest, TheEndOfAProcessIsItsEndWhoeverHoldsItsStatus) {
  boot_running();
  ASSERT_NE(exec(7), 0U);
  auto& launched = newest();
  const common::UniqueFd kept(::fcntl(launched.fds.at(kLaunchStatusFd).get(), F_DUPFD_CLOEXEC, 3));
  const pid_t pid = begin(launched);
  end(pid, launched, 5 << 8);
  const auto exits = hear(LinkType::kExit);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].header.value, 5U);
}

TEST_F(ReportsTest, ATerminalIsOpenedByPid1WhoseMasterStaysThere) {
  boot();
  give_terminals();
  primary_pid_ = run_newest();
  await_launcher();
  ASSERT_NE(exec(7, kSessionTty), 0U);
  auto& launched = newest();
  EXPECT_TRUE(is_pipe(launched.fds.at(kLaunchStatusFd)));
  for (const int fd : {0, 1, 2}) {
    EXPECT_EQ(::isatty(launched.fds.at(fd).get()), 1);
    unsigned number = 0;
    EXPECT_EQ(::ioctl(launched.fds.at(fd).get(), TIOCGPTN, &number), -1) << "no master";
  }
  const pid_t pid = run(launched);
  print(launched, "on the terminal\n");
  auto heads = hear(LinkType::kHead);
  while (heads.empty()) heads = hear(LinkType::kHead);  // The kernel passes it on when it has time.
  EXPECT_EQ(heads.back().header.offset, 17U) << "with the line discipline's CR";
  end(pid, launched, 0);
  EXPECT_EQ(hear(LinkType::kExit).size(), 1U);
}

}  // namespace
}  // namespace tether
