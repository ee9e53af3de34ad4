// A person at a terminal: raw mode and its end, keys, window sizes.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "vch/interaction/attach_fixture.h"

namespace vch {
namespace {

class TerminalTest : public AttachTest {
 protected:
  void SetUp() override {
    int master = -1;
    int slave = -1;
    winsize size{24, 80, 0, 0};
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_.reset(master);
    slave_.reset(slave);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave, F_SETFD, FD_CLOEXEC);
    termios settings{};
    ::tcgetattr(slave, &settings);
    settings.c_lflag &= ~tcflag_t{ECHOK};  // told apart from what anybody would set by himself
    settings.c_cc[VERASE] = 7;
    ::tcsetattr(slave, TCSANOW, &settings);
    agent_.session.tty = true;
  }
  void start() {
    expect_no_faults();
    agent_.halt();  // else the session is the guest's thread's
    agent_.session.writer.reset();
    agent_.session.windows.clear();
    boot();
    client_ = start_client(slave_.get(), slave_.get(), slave_.get(), "attach-tty");
  }
  bool is_raw() const {
    termios settings{};
    ::tcgetattr(slave_.get(), &settings);
    return (settings.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }
  bool is_as_before() const {
    termios settings{};
    ::tcgetattr(slave_.get(), &settings);
    return (settings.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG) &&
           (settings.c_lflag & ECHOK) == 0 && settings.c_cc[VERASE] == 7;
  }
  template <typename Condition>
  void expect_soon(const char* what, Condition&& condition) {
    EXPECT_TRUE(FakeMachine::wait_for(condition)) << what;
  }
  void wait_until_attached() {
    expect_soon("attached", [this] {
      bool attached = false;
      agent_.change([&](FakeSession& s) { attached = !s.windows.empty(); });
      return attached && is_raw();
    });
  }
  void type(const std::string& keys) {
    ASSERT_TRUE(common::write_all(master_.get(), keys, "terminal").has_value());
  }
  std::string arrived() {
    std::string input;
    agent_.change([&](FakeSession& s) { input = s.input; });
    return input;
  }
  void stop_and_reap(int number) {
    ::kill(client_, number);
    EXPECT_EQ(exit_code_of(client_), -number);
  }

  UniqueFd master_, slave_;
  pid_t client_ = -1;
};

TEST_F(TerminalTest, IsRawForTheSessionAndAsBeforeAfterItsEnd) {
  start();
  wait_until_attached();
  agent_.change([](FakeSession& s) { s.finish(4); });
  EXPECT_EQ(exit_code_of(client_), 4);
  EXPECT_TRUE(is_as_before());
}

TEST_F(TerminalTest, IsAsBeforeAfterEveryWayToDie) {
  for (const int number : {SIGKILL, SIGSEGV, SIGABRT, SIGBUS}) {
    start();
    wait_until_attached();
    stop_and_reap(number);
    expect_soon(::strsignal(number), [this] { return is_as_before(); });
  }
}

TEST_F(TerminalTest, SignalsEndTheAttachAloneAndRestoreIt) {
  for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGQUIT}) {
    start();
    wait_until_attached();
    ::kill(client_, number);
    EXPECT_EQ(exit_code_of(client_), 128 + number);
    EXPECT_TRUE(is_as_before());
  }
  agent_.change([](FakeSession& s) { EXPECT_FALSE(s.exit.has_value()); });
}

TEST_F(TerminalTest, AStoppedClientGivesItBackAndTakesItAgain) {
  start();
  wait_until_attached();
  ::kill(client_, SIGTSTP);
  int status = 0;
  EXPECT_EQ(::waitpid(client_, &status, WUNTRACED), client_);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(is_as_before());
  ::kill(client_, SIGCONT);
  expect_soon("raw again", [this] { return is_raw(); });
  stop_and_reap(SIGKILL);
}

TEST_F(TerminalTest, SettingsThatAShellMadeMeanwhileStay) {
  start();
  wait_until_attached();
  ::kill(client_, SIGSTOP);
  termios shell{};
  ::tcgetattr(slave_.get(), &shell);
  shell.c_lflag |= ISIG;
  ::tcsetattr(slave_.get(), TCSANOW, &shell);
  stop_and_reap(SIGKILL);
  // Nobody has the terminal open any more once whoever restores it has made up his mind.
  slave_.reset();
  std::array<char, 256> bytes;
  while (::read(master_.get(), bytes.data(), bytes.size()) >= 0) {
  }
  termios now{};
  ::tcgetattr(master_.get(), &now);
  EXPECT_NE(now.c_lflag & ISIG, 0U);
  EXPECT_EQ(now.c_lflag & ICANON, 0U);
}

TEST_F(TerminalTest, KeysPassAsTheyAreTyped) {
  start();
  wait_until_attached();
  const std::string keys = "ls\r\x03\x04\x1a\x1c\x11\x13 \x10x\xc3\xa4";
  type(keys);
  expect_soon("keys", [&] { return arrived() == keys; });
  stop_and_reap(SIGKILL);
}

TEST_F(TerminalTest, DetachKeysLeaveTheSessionAliveBehindWhatWasTyped) {
  start();
  wait_until_attached();
  type("before\x10\x11");
  EXPECT_EQ(exit_code_of(client_), 0);
  EXPECT_TRUE(is_as_before());
  EXPECT_EQ(arrived(), "before");
  agent_.change([](FakeSession& s) {
    EXPECT_FALSE(s.exit.has_value());
    EXPECT_FALSE(s.input_ended);
  });
}

TEST_F(TerminalTest, DetachKeysWorkBehindAPasteThatNobodyReads) {
  agent_.session.input_limit = 10;
  start();
  wait_until_attached();
  const std::string paste(300000, 'x');
  type(paste);
  type("\x10\x11");
  EXPECT_EQ(exit_code_of(client_), 0);
  EXPECT_EQ(arrived(), std::string(10, 'x'));
}

TEST_F(TerminalTest, KeysTypedWithoutALinkArriveOnceItIsBack) {
  start();
  wait_until_attached();
  type("one ");
  expect_soon("first keys", [this] { return arrived() == "one "; });
  expect_no_faults();
  agent_.halt();
  type("two ");
  boot();
  type("three");
  expect_soon("all keys", [this] { return arrived() == "one two three"; });
  stop_and_reap(SIGKILL);
}

TEST_F(TerminalTest, DetachKeysWorkWithoutALink) {
  start();
  wait_until_attached();
  expect_no_faults();
  agent_.halt();
  type("\x10\x11");
  EXPECT_EQ(exit_code_of(client_), 0);
  EXPECT_TRUE(is_as_before());
}

TEST_F(TerminalTest, TheWindowsSizeComesFirstAndAtEveryChange) {
  using Windows = std::vector<std::pair<uint16_t, uint16_t>>;
  start();
  wait_until_attached();
  const auto seen = [this] {
    Windows windows;
    agent_.change([&](FakeSession& s) { windows = s.windows; });
    return windows;
  };
  EXPECT_EQ(seen(), (Windows{{24, 80}}));
  const winsize larger{50, 132, 0, 0};
  ::ioctl(master_.get(), TIOCSWINSZ, &larger);
  ::kill(client_, SIGWINCH);  // The kernel tells only those whose controlling terminal it is.
  expect_soon("new size", [&] { return seen() == Windows{{24, 80}, {50, 132}}; });
  agent_.boot();
  expect_soon("size again", [&] { return seen() == Windows{{24, 80}, {50, 132}, {50, 132}}; });
  stop_and_reap(SIGKILL);
}

}  // namespace
}  // namespace vch
