#include "tether/boot/boot_table.h"

#include <gtest/gtest.h>

#include "tether/boot/fake_boot_system.h"
#include "tether/session/container_mounts.h"

namespace tether {
namespace {

// Every row of every table fails once: a fatal one ends the boot with its stage and object, any
// other is passed over.
void fail_each_row(const std::vector<BootRow>& rows) {
  for (size_t n = 0; n < rows.size(); ++n) {
    FakeBootSystem system;
    system.fail_call(n, EIO);
    const auto done = run_rows(rows, system);
    if (!rows[n].fatal) {
      EXPECT_TRUE(done.has_value()) << rows[n].target;
      EXPECT_EQ(system.calls.size(), rows.size());
      continue;
    }
    ASSERT_TRUE(done.has_error()) << rows[n].target;
    EXPECT_EQ(done.error().stage, rows[n].stage);
    EXPECT_EQ(done.error().error.code.value(), EIO);
    EXPECT_EQ(done.error().error.object, rows[n].object.empty() ? rows[n].target : rows[n].object);
    EXPECT_FALSE(done.error().error.operation.empty());
    EXPECT_EQ(system.calls.size(), n + 1) << "went on after " << rows[n].target;
  }
}

TEST(BootTable, EveryEarlyRowMayFail) { fail_each_row(early_rows()); }
TEST(BootTable, EveryContainerRowMayFail) { fail_each_row(container_rows()); }

TEST(BootTable, TheAgentIsProtectedAndOutOfTheContainersGroup) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(early_rows(), system).has_value());
  EXPECT_TRUE(system.did("write /proc/self/oom_score_adj -1000"));
  EXPECT_TRUE(system.did("write /sys/fs/cgroup/agent/cgroup.procs 0"));
  EXPECT_TRUE(system.did("loopback"));
}

TEST(BootTable, NothingIsMountedBeforeTheAgentHasItsOwnRoot) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(early_rows(), system).has_value());
  EXPECT_LT(system.position("root /root.new"), system.position("mount proc /proc"));
  EXPECT_LT(system.position("mount tmpfs /root.new"), system.position("root /root.new"));
}

TEST(BootTable, DevHoldsWhatOciPrescribesAndNoMore) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(container_rows(), system).has_value());
  std::vector<std::string> devices;
  for (const std::string& call : system.calls) {
    if (call.starts_with("device ")) devices.push_back(call);
  }
  EXPECT_EQ(devices, (std::vector<std::string>{"device /dev/null 1:3", "device /dev/zero 1:5",
                                               "device /dev/full 1:7", "device /dev/random 1:8",
                                               "device /dev/urandom 1:9", "device /dev/tty 5:0"}));
  for (const char* name : {"ptmx", "fd", "stdin", "stdout", "stderr"}) {
    EXPECT_TRUE(system.did(std::string("link /dev/") + name)) << name;
  }
}

}  // namespace
}  // namespace tether
