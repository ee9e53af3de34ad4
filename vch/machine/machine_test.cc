// Starts and ends real machines. Their ISO holds nothing to boot, so the firmware waits for ever.
#include "vch/machine/machine.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include "vch/machine/lock.h"
#include "vch/machine/machine_wait.h"
#include "vch/machine/qmp.h"
#include "vch/machine/state_fixture.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using testing::HasSubstr;

constexpr uint64_t kVolumeSize = uint64_t{16} << 20U;

class Machine : public StateTest {
 protected:
  ~Machine() override {
    const auto containers = ContainerStore(state_).list();
    if (containers.has_error()) return;
    for (const auto& container : *containers) (void)kill_machine(container);
  }
  Container made(const std::string& name, std::vector<VolumeMount> volumes = {}) {
    ContainerSpec wanted = spec(name);
    wanted.volumes = std::move(volumes);
    return want(create(wanted));
  }
  common::Status start(const Container& container) {
    return start_machine(container, state_, false);
  }
};

TEST_F(Machine, RunsUntilItIsKilled) {
  const Container container = made("web");
  EXPECT_FALSE(machine_running(container));
  EXPECT_FALSE(machine_pid(container).has_value());
  ASSERT_EQ(error_of(start(container)), "no error");
  EXPECT_TRUE(machine_running(container));
  const auto pid = machine_pid(container);
  ASSERT_TRUE(pid.has_value());
  EXPECT_EQ(want(common::read_file("/proc/" + std::to_string(*pid) + "/comm")), "vch-web\n");
  for (const char* file : {"journal", "console.log", "link.in", "link.out", "qmp.sock"}) {
    EXPECT_EQ(::access(container.file(file).c_str(), F_OK), 0) << file;
  }
  EXPECT_EQ(error_of(start(container)), "start web: Device or resource busy (it runs already)");
  EXPECT_EQ(error_of(kill_machine(container)), "no error");
  EXPECT_FALSE(machine_running(container));
  EXPECT_FALSE(machine_pid(container).has_value());
  EXPECT_EQ(error_of(kill_machine(container)), "no error");
}

TEST_F(Machine, IsNobodysChildAndInheritsNothingButItsLocks) {
  const common::UniqueFd secret(::open(image_.c_str(), O_RDONLY));  // Not close-on-exec.
  const Container container = made("web");
  ASSERT_EQ(error_of(start(container)), "no error");
  const auto pid = machine_pid(container);
  ASSERT_TRUE(pid.has_value());
  const std::string process = "/proc/" + std::to_string(*pid);
  EXPECT_EQ(want(common::read_file(process + "/stat")).find(" " + std::to_string(::getpid()) + " "),
            std::string::npos);
  for (const auto& entry : std::filesystem::directory_iterator(process + "/fd")) {
    std::error_code ignored;
    EXPECT_NE(std::filesystem::read_symlink(entry.path(), ignored), image_);
  }
  EXPECT_EQ(std::filesystem::read_symlink(process + "/cwd"), container.directory);
}

TEST_F(Machine, ThatDiedIsNoticedAndCanBeStartedAgain) {
  const Container container = made("web");
  ASSERT_EQ(error_of(start(container)), "no error");
  const auto pid = machine_pid(container);
  ASSERT_TRUE(pid.has_value());
  ASSERT_EQ(::kill(*pid, SIGKILL), 0);
  EXPECT_EQ(error_of(wait_for_machine_end(container, 10000)), "no error");
  EXPECT_FALSE(machine_pid(container).has_value());
  EXPECT_EQ(error_of(start(container)), "no error");
}

TEST_F(Machine, ThatHangsIsKilledAllTheSame) {
  const Container container = made("web");
  ASSERT_EQ(error_of(start(container)), "no error");
  const auto pid = machine_pid(container);
  ASSERT_TRUE(pid.has_value());
  ASSERT_EQ(::kill(*pid, SIGSTOP), 0);
  EXPECT_EQ(error_of(kill_machine(container)), "no error");
  EXPECT_FALSE(machine_running(container));
}

TEST_F(Machine, IsKilledWhileAnotherHoldsItsMonitor) {
  const Container container = made("web");
  ASSERT_EQ(error_of(start(container)), "no error");
  auto socket = want(connect_unix(container.directory, "qmp.sock"));
  const Qmp other = want(Qmp::greet(std::move(socket), 10000));
  EXPECT_EQ(error_of(kill_machine(container)), "no error");
}

TEST_F(Machine, IsNotKilledByTheNumberOfAStranger) {
  const Container container = made("web");
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    for (;;) ::pause();
  }
  const auto held = want(take_lock(container.file("machine.lock")));
  ASSERT_TRUE(
      common::write_file_atomically(container.file("qemu.pid"), std::to_string(stranger) + "\n")
          .has_value());
  EXPECT_FALSE(machine_pid(container).has_value());
  EXPECT_EQ(::kill(stranger, 0), 0);
  ::kill(stranger, SIGKILL);
  ::waitpid(stranger, nullptr, 0);
}

TEST_F(Machine, SaysWhatQemuSaidWhenItDoesNotStart) {
  const Container container = made("web");
  std::filesystem::remove(container.file("image.squashfs"));
  EXPECT_THAT(error_of(start(container)),
              testing::AllOf(testing::StartsWith("start web: QEMU: "),
                             HasSubstr("Could not open 'image.squashfs': No such file")));
  EXPECT_FALSE(machine_running(container));
}

TEST_F(Machine, NeedsItsIso) {
  const Container container = made("web");
  std::filesystem::remove(iso_);
  EXPECT_EQ(error_of(start(container)),
            "read the bootstrap ISO " + iso_ + ": No such file or directory");
}

TEST_F(Machine, NeedsQemu) {
  const Container container = made("web");
  const std::string before = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto started = start(container);
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(error_of(started),
            "find the program qemu-system-x86_64: No such file or directory (not in PATH; install "
            "the package qemu-system-x86)");
  EXPECT_FALSE(machine_running(container));
}

TEST_F(Machine, HasAVolumeThatItWritesAlone) {
  const Volume volume = want(VolumeStore(state_).create("data", kVolumeSize));
  const Container writer = made("writer", {mount("data", "/data")});
  const Container reader = made("reader", {mount("data", "/data", true)});
  ASSERT_EQ(error_of(start(writer)), "no error");
  EXPECT_TRUE(is_locked(volume.lock));
  EXPECT_EQ(error_of(start(reader)),
            "mount volume data: Device or resource busy (in use by container writer)");
  EXPECT_FALSE(machine_running(reader));
  ASSERT_EQ(error_of(kill_machine(writer)), "no error");
  EXPECT_FALSE(is_locked(volume.lock));
  EXPECT_EQ(error_of(start(reader)), "no error");
}

TEST_F(Machine, SharesAVolumeThatAllOnlyRead) {
  want(VolumeStore(state_).create("data", kVolumeSize));
  const Container first = made("first", {mount("data", "/data", true)});
  const Container second = made("second", {mount("data", "/data", true)});
  ASSERT_EQ(error_of(start(first)), "no error");
  EXPECT_EQ(error_of(start(second)), "no error");
}

TEST_F(Machine, TakesSixtyFourVolumes) {
  std::vector<VolumeMount> mounts;
  for (int i = 0; i < 64; ++i) {
    const std::string name = "v" + std::to_string(i);
    want(VolumeStore(state_).create(name, kVolumeSize));
    mounts.push_back(mount(name.c_str(), ("/" + name).c_str()));
  }
  EXPECT_EQ(error_of(start(made("many", mounts))), "no error");
}

TEST_F(Machine, RefusesAVolumeThatIsMissingOrGivenTwice) {
  EXPECT_EQ(error_of(start(made("a", {mount("data", "/data")}))),
            "find volume data: No such file or directory (`vch volume create data` makes it)");
  want(VolumeStore(state_).create("data", kVolumeSize));
  EXPECT_EQ(error_of(start(made("b", {mount("data", "/x"), mount("data", "/y")}))),
            "mount volume data: Invalid argument (given twice; that needs :ro for both)");
}

TEST_F(Machine, StartsFromADirectoryOfAnyLengthAndWithCommas) {
  state_ = want(open_state_dir(scratch_ + "/a,b/" + std::string(120, 'd')));
  want(VolumeStore(state_).create("data", kVolumeSize));
  const Container container = made("web", {mount("data", "/data")});
  EXPECT_EQ(error_of(start(container)), "no error");
  EXPECT_EQ(error_of(kill_machine(container)), "no error");
}

using Iso = StateTest;

TEST_F(Iso, IsTheOneAskedForOrTheEnvironments) {
  EXPECT_EQ(want(find_iso(iso_)), iso_);
  ::setenv("VCH_ISO", iso_.c_str(), 1);
  const auto found = find_iso("");
  ::setenv("VCH_ISO", "/nowhere.iso", 1);
  const auto missing = find_iso("");
  ::unsetenv("VCH_ISO");
  EXPECT_EQ(want(found), iso_);
  EXPECT_THAT(
      error_of(missing),
      HasSubstr("find the bootstrap ISO /nowhere.iso: No such file or directory (`scripts/run"));
  EXPECT_EQ(error_of(find_iso(scratch_)),
            "find the bootstrap ISO " + scratch_ + ": Invalid argument (not a file)");
}

}  // namespace
}  // namespace vch
