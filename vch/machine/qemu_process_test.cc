// With programs that stand for QEMU and for what serves it.
#include "vch/machine/qemu_process.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <thread>

#include "vch/machine/lock.h"
#include "vch/machine/program.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using testing::HasSubstr;

// Listens, notes its pid, and says what it was sent.
constexpr const char* kServer = R"(
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("device.sock")
listener.listen()
peer, _ = listener.accept()
open("server.pid", "w").write(str(os.getpid()))
print("got", peer.recv(100), os.environ.get("CONNECTION"), "fds", len(os.listdir("/proc/self/fd")))
sys.stdout.flush()
peer.recv(1)
)";

class QemuProcess : public StateTest {
 protected:
  QemuProcess() {
    log_ = want(common::open_file(scratch_ + "/log", O_RDWR | O_CREAT));
    companion_.socket = "device.sock";
    companion_.log = log_.get();
  }
  common::Status spawn(const std::vector<std::string>& qemu,
                       const std::vector<std::string>& server) {
    std::vector<common::UniqueFd> inherited;
    inherited.push_back(want(take_lock(lock_)));
    inherited.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    companion_.argv = server;
    companion_.kept = inherited[0].get();
    companion_.connection = inherited[1].get();
    // What stands for QEMU finds the connection by its number.
    ::setenv("CONNECTION", std::to_string(companion_.connection).c_str(), 1);
    return spawn_qemu(qemu, scratch_, log_.get(), inherited, &companion_);
  }
  std::string python() { return want(find_program("python3")); }
  std::string read(const std::string& name) {
    const auto text = common::read_file(scratch_ + "/" + name);
    return text.has_value() ? *text : "";
  }
  static bool wait_for(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::string lock_ = scratch_ + "/machine.lock";
  common::UniqueFd log_;
  Companion companion_;
};

TEST_F(QemuProcess, IsConnectedToItsCompanionWhichDiesWithIt) {
  ASSERT_EQ(error_of(spawn(
                {"/bin/sh", "-c", "echo $$ >qemu.pid; echo hello >&$CONNECTION; exec sleep 1000"},
                {python(), "-c", kServer})),
            "no error");
  ASSERT_TRUE(wait_for([&] { return read("log").ends_with("\n"); }));
  // Its three standard descriptors, the lock, the listener, the peer, and the directory it lists.
  EXPECT_EQ(read("log"), "got b'hello\\n' None fds 7\n");
  const int server = std::stoi(read("server.pid"));
  EXPECT_TRUE(holds_lock(server, lock_));
  ASSERT_EQ(::kill(std::stoi(read("qemu.pid")), SIGKILL), 0);
  EXPECT_TRUE(wait_for([&] { return !is_locked(lock_); }));
  EXPECT_FALSE(holds_lock(server, lock_));
}

// A host that goes down signals everybody: these two end with the guest.
TEST_F(QemuProcess, TakesNoSignalThatAsksItToEnd) {
  ASSERT_EQ(
      error_of(spawn({"/bin/sh", "-c", "echo $$ >qemu.pid; echo hi >&$CONNECTION; exec sleep 1000"},
                     {python(), "-c", kServer})),
      "no error");
  ASSERT_TRUE(wait_for([&] { return read("log").ends_with("\n"); }));
  for (const char* name : {"qemu.pid", "server.pid"}) {
    const int pid = std::stoi(read(name));
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ASSERT_EQ(::kill(pid, number), 0);
    const std::string status = want(common::read_file("/proc/" + std::to_string(pid) + "/status"));
    EXPECT_THAT(status, HasSubstr("\nSigBlk:\t0000000000004003\n")) << name;
    EXPECT_THAT(status, HasSubstr("\nShdPnd:\t0000000000004003\n")) << name;
  }
  ASSERT_EQ(::kill(std::stoi(read("qemu.pid")), SIGKILL), 0);
  EXPECT_TRUE(wait_for([&] { return !is_locked(lock_); }));
}

TEST_F(QemuProcess, DoesNotStartWithoutItsCompanion) {
  EXPECT_EQ(error_of(spawn({"/bin/sh", "-c", "echo started >started"},
                           {"/bin/sh", "-c", "echo no; exit 3"})),
            "execute /bin/sh: No child processes");
  EXPECT_EQ(read("log"), "no\n");
  ASSERT_TRUE(wait_for([&] { return !is_locked(lock_); }));
  EXPECT_EQ(error_of(spawn({"/bin/sh", "-c", "echo started >started"}, {"/nowhere/server"})),
            "execute /nowhere/server: No such file or directory");
  EXPECT_TRUE(wait_for([&] { return !is_locked(lock_); }));
  EXPECT_EQ(read("started"), "");
}

TEST_F(QemuProcess, ThatCannotBeExecutedLeavesNoCompanion) {
  EXPECT_EQ(error_of(spawn({"/nowhere/qemu"}, {python(), "-c", kServer})),
            "execute /nowhere/qemu: No such file or directory");
  EXPECT_TRUE(wait_for([&] { return !is_locked(lock_); }));
}

}  // namespace
}  // namespace vch
