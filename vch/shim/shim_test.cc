#include "vch/shim/shim.h"

#include <signal.h>
#include <sys/wait.h>

#include <atomic>

#include "vch/shim/fake_monitor.h"
#include "vch/shim/shim_fixture.h"

namespace vch {
namespace {

TEST_F(ShimTest, AGuestThatIsReplacedEndsItsConnectionsNotTheShim) {
  machine_.boot().start();
  const UniqueFd fd = connect("echo");
  const auto before = shim_pid(machine_.container);
  machine_.boot().start();
  EXPECT_EQ(receive(fd), "");
  const UniqueFd again = connect("echo");
  send_all(again, "x");
  EXPECT_EQ(receive(again, 1), "x");
  EXPECT_EQ(shim_pid(machine_.container), before);
}

TEST_F(ShimTest, AKilledShimIsReplaced) {
  machine_.boot().start();
  for (int i = 0; i < 5; ++i) {
    const UniqueFd fd = connect("echo");
    const auto pid = shim_pid(machine_.container);
    ASSERT_TRUE(pid.has_value());
    ::kill(*pid, SIGKILL);
    EXPECT_EQ(receive(fd), "");
  }
  EXPECT_TRUE(common::read_file(machine_.container.file("shim.log"))->empty());
}

TEST_F(ShimTest, OneThatMakesWayLeavesNoSocketAndTheMachineAlone) {
  machine_.boot().start();
  FakeMonitor monitor(machine_.container);
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  const auto first = shim_pid(machine_.container);
  ASSERT_TRUE(replace_shim(machine_.container, program_).has_value());
  EXPECT_NE(shim_pid(machine_.container), first);
  ::kill(*shim_pid(machine_.container), kMakeWay);
  EXPECT_TRUE(FakeMachine::wait_for([&] { return !shim_pid(machine_.container); }));
  EXPECT_FALSE(std::filesystem::exists(machine_.container.file("shim.sock")));
  EXPECT_TRUE(monitor.commands().empty());
}

TEST_F(ShimTest, AHostThatGoesDownPressesThePowerButtonAndIsServedToTheEnd) {
  machine_.boot().start();
  FakeMonitor monitor(machine_.container);
  const UniqueFd fd = connect("echo");
  const auto pid = shim_pid(machine_.container);
  ::kill(*pid, SIGTERM);
  EXPECT_TRUE(FakeMachine::wait_for([&] { return !monitor.commands().empty(); }));
  for (const int number : {SIGTERM, SIGINT}) {
    ::kill(*pid, number);
    send_all(fd, "x");
    EXPECT_EQ(receive(fd, 1), "x");
  }
  const UniqueFd late = connect("echo");
  EXPECT_EQ(shim_pid(machine_.container), pid);
  machine_.end();
  EXPECT_EQ(receive(fd), "");
  EXPECT_TRUE(FakeMachine::wait_for([&] { return !shim_pid(machine_.container); }));
  EXPECT_EQ(monitor.commands(), std::vector<std::string>{"system_powerdown"});
}

TEST_F(ShimTest, AGuestThatBootsHearsOfItOnceItIsThere) {
  FakeMonitor monitor(machine_.container);
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  ::kill(*shim_pid(machine_.container), SIGINT);
  EXPECT_TRUE(FakeMachine::wait_for([&] { return monitor.commands().size() == 1; }));
  machine_.boot().start();
  EXPECT_TRUE(FakeMachine::wait_for([&] { return monitor.commands().size() == 2; }));
  EXPECT_EQ(monitor.commands().back(), "system_powerdown");
}

TEST_F(ShimTest, WhoWaitsForAGuestHearsOfTheMachinesEnd) {
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  auto waiting = std::async(std::launch::async, [&] {
    return connect_service(machine_.container, program_, "echo", "bulk");
  });
  const auto fd = connect_shim(machine_.container, program_);
  ASSERT_TRUE(fd.has_value());
  send_all(*fd, "CONNECT echo bulk\n");
  machine_.end();
  EXPECT_EQ(receive(*fd), "ERROR machine ended\n");
  const auto outcome = waiting.get();
  ASSERT_TRUE(outcome.has_error());
  EXPECT_EQ(outcome.error().code, std::errc::not_connected);
  EXPECT_TRUE(FakeMachine::wait_for([&] { return !shim_pid(machine_.container); }));
  EXPECT_FALSE(std::filesystem::exists(machine_.container.file("shim.sock")));
}

TEST_F(ShimTest, WhatCameBeforeTheMachinesEndIsDelivered) {
  FakeGuest& guest = machine_.boot();
  const std::string last = text(10000);  // a frame
  std::promise<void> written;
  ConnectionPtr kept;
  guest.endpoint().listen("last", [&](ConnectionPtr connection) {
    kept = std::move(connection);
    boost::asio::async_write(*kept, boost::asio::buffer(last),
                             [&](auto, size_t) { written.set_value(); });
  });
  guest.start();
  const UniqueFd fd = connect("last");
  written.get_future().wait();
  const UniqueFd echo = connect("echo");  // what comes back on it was sent later
  send_all(echo, "x");
  EXPECT_EQ(receive(echo, 1), "x");
  guest.run([&] {
    kept.reset();
    guest.endpoint().close();
  });
  machine_.end();
  EXPECT_TRUE(receive(fd) == last);
}

TEST_F(ShimTest, WithoutAMachineNoShimStays) {
  machine_.end();
  const auto status = ensure_shim(machine_.container, program_);
  ASSERT_TRUE(status.has_error());
  EXPECT_EQ(status.error().message(),
            "connect to box: Transport endpoint is not connected (its machine does not run)");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(program_.c_str(), program_.c_str(), "shim", machine_.container.directory.c_str(),
            nullptr);
    ::_exit(99);
  }
  int code = 0;
  ASSERT_EQ(::waitpid(child, &code, 0), child);
  EXPECT_EQ(code, 0);
}

TEST_F(ShimTest, ClientsThatRaceGetOneShim) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    const auto fd = connect_shim(machine_.container, program_);
    ucred peer{};
    socklen_t size = sizeof peer;
    if (fd.has_error() || ::getsockopt(fd->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
      ::_exit(1);
    }
    ::_exit(::write(ends[1], &peer.pid, sizeof peer.pid) == sizeof peer.pid ? 0 : 1);
  }
  for (const pid_t child : children) {
    int code = 0;
    ::waitpid(child, &code, 0);
    EXPECT_EQ(code, 0);
    int pid = 0;
    ASSERT_EQ(::read(ends[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    EXPECT_EQ(pid, shim_pid(machine_.container));
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ShimTest, TooManyClientsAreRefusedWithAReason) {
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 640; ++i) {
    auto fd = connect_shim(machine_.container, program_);
    ASSERT_TRUE(fd.has_value()) << fd.error().message();
    idle.push_back(std::move(*fd));
  }
  const auto more = connect_service(machine_.container, program_, "echo", "bulk");
  ASSERT_TRUE(more.has_error());
  EXPECT_EQ(more.error().message(),
            "connect to service echo: Connection refused (too many clients, at most 640)");
  idle.clear();
  machine_.boot().start();
  // The shim learns of each departure in its own time.
  EXPECT_TRUE(FakeMachine::wait_for(
      [&] { return connect_service(machine_.container, program_, "echo", "bulk").has_value(); }));
}

TEST_F(ShimTest, ASignalEndsTheWaitingForAGuest) {
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, nullptr);
  const pthread_t self = ::pthread_self();
  std::atomic<bool> done = false;
  std::thread pest([&] {
    while (!done) {
      ::pthread_kill(self, SIGUSR1);
      std::this_thread::yield();
    }
  });
  const auto fd = connect_service(machine_.container, program_, "echo", "bulk");
  done = true;
  pest.join();
  ASSERT_TRUE(fd.has_error());
  EXPECT_EQ(fd.error().code, std::errc::interrupted);
}

TEST_F(ShimTest, AShimThatCannotStartSaysWhy) {
  auto status = ensure_shim(machine_.container, "/nonexistent/vch");
  ASSERT_TRUE(status.has_error());
  EXPECT_EQ(status.error().message(),
            "start shim for box: vch shim: execute /nonexistent/vch: No such file or directory");
  ASSERT_TRUE(common::write_file_atomically(machine_.container.file("config.pb"), "").has_value());
  status = ensure_shim(machine_.container, program_);
  ASSERT_TRUE(status.has_error());
  EXPECT_EQ(status.error().message(), "start shim for box: vch shim: read " +
                                          machine_.container.file("config.pb") +
                                          ": Invalid argument (no link key of 32 bytes; the "
                                          "container must be made anew)");
}

TEST_F(ShimTest, ItsSocketIsItsOwnersAlone) {
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  struct stat status {};
  ASSERT_EQ(::stat(machine_.container.file("shim.sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST(LongDirectoryTest, APathBeyondASocketsLimitWorks) {
  FakeMachine machine("/" + std::string(100, 'd') + "/" + std::string(100, 'e'));
  machine.boot().start();
  const auto fd = connect_service(machine.container, this_program(), "echo", "bulk");
  ASSERT_TRUE(fd.has_value()) << fd.error().message();
  send_all(*fd, "far");
  EXPECT_EQ(receive(*fd, 3), "far");
}

}  // namespace
}  // namespace vch
