#include "tether/session/container_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

namespace tether {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using ::tether::v1::Sandbox;

const BootRow* find(const std::vector<BootRow>& rows, const std::string& target) {
  for (const BootRow& row : rows) {
    if (row.target == target && row.action == BootRow::Action::kMount) return &row;
  }
  return nullptr;
}

TEST(ContainerMounts, SysIsWritableWhereTheMachineIsTheContainers) {
  Sandbox sandbox;
  for (const char* path : {"/sys", "/sys/fs/cgroup"}) {
    EXPECT_NE(find(container_rows(sandbox, {}), path)->flags & MS_RDONLY, 0U) << path;
  }
  sandbox.set_privileged(true);
  for (const char* path : {"/sys", "/sys/fs/cgroup"}) {
    EXPECT_EQ(find(container_rows(sandbox, {}), path)->flags & MS_RDONLY, 0U) << path;
  }
}

TEST(ContainerMounts, SharedMemoryHasItsSize) {
  Sandbox sandbox;
  EXPECT_EQ(find(container_rows(sandbox, {}), "/dev/shm")->text, "mode=1777,size=67108864");
  sandbox.set_shm_size(4096);
  EXPECT_EQ(find(container_rows(sandbox, {}), "/dev/shm")->text, "mode=1777,size=4096");
}

TEST(ProcPlan, HidesAndProtectsAsOciPrescribes) {
  const ProcPlan plan = plan_proc({});
  EXPECT_THAT(plan.masked, Contains("/proc/keys"));
  EXPECT_THAT(plan.masked, Contains("/sys/firmware"));
  EXPECT_THAT(plan.read_only, ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"));
  EXPECT_THAT(plan.sysctls, IsEmpty());
}

TEST(ProcPlan, IsWhatWasAskedFor) {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  EXPECT_THAT(plan_proc(sandbox).masked, IsEmpty());
  EXPECT_THAT(plan_proc(sandbox).read_only, IsEmpty());
  sandbox.add_masked_paths("/proc/version");
  EXPECT_THAT(plan_proc(sandbox).masked, ElementsAre("/proc/version"));
  sandbox.clear_privileged();
  sandbox.add_read_only_paths("");
  EXPECT_THAT(plan_proc(sandbox).read_only, IsEmpty());
  (*sandbox.mutable_sysctls())["net.core.somaxconn"] = "7";
  EXPECT_THAT(plan_proc(sandbox).sysctls, ElementsAre(std::pair<std::string, std::string>(
                                              "/proc/sys/net/core/somaxconn", "7")));
}

}  // namespace
}  // namespace tether
