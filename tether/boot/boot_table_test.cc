#include "tether/boot/boot_table.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <set>

#include "tether/boot/fake_boot_system.h"
#include "tether/boot/limits.h"
#include "tether/boot/root_plan.h"
#include "tether/session/container_mounts.h"

namespace tether {
namespace {

using protocol::Stage;
using Rows = std::vector<BootRow>;
using Calls = std::vector<std::string>;

Rows root(bool writable, bool direct, uint64_t tmpfs_size) {
  protocol::pb::Root root;
  root.mutable_image()->set_serial("image");
  root.mutable_image()->set_file_system(direct ? "ext4" : "squashfs");
  root.set_direct(direct);
  root.set_tmpfs_size(tmpfs_size);
  if (writable) root.mutable_writable()->set_serial("rw");
  if (writable) root.mutable_writable()->set_file_system("ext4");
  const auto rows = root_rows(root, [](const std::string& serial) -> common::Result<std::string> {
    return "/dev/" + serial;
  });
  EXPECT_TRUE(rows.has_value());
  return rows.has_value() ? *rows : Rows{};
}

Rows privileged() {
  protocol::pb::Sandbox sandbox;
  sandbox.set_privileged(true);
  // Those of the machine that this runs on, and two that it may not have.
  Rows devices = machine_devices();
  for (const BootRow& row : devices) EXPECT_FALSE(row.fatal) << row.target;
  BootRow directory = directory_row("/dev/net");
  BootRow device;
  device.action = BootRow::Action::kDevice;
  device.target = "/dev/net/tun";
  directory.fatal = device.fatal = false;
  devices.push_back(directory);
  devices.push_back(device);
  return container_rows(sandbox, devices);
}

Rows limits() {
  protocol::pb::Resources resources;
  resources.set_memory_max(64U << 20U);
  resources.set_cpu_millis(500);
  return limit_rows(resources, {256U << 20U, 2, 2048});
}

struct Table {
  const char* name;
  Rows (*rows)();
  std::set<Stage> stages;  // those at which its rows may fail
};

const std::set<Stage> kRootStages = {Stage::kMountImage, Stage::kMountWritable, Stage::kMountRoot};
const Table kTables[] = {
    {"Early", early_rows, {Stage::kEarlyMounts}},
    {"RootOnADisk", [] { return root(true, false, 0); }, kRootStages},
    {"RootInMemory", [] { return root(false, false, 1U << 20U); }, kRootStages},
    {"RootOfItsOwn", [] { return root(false, true, 0); }, {Stage::kMountImage, Stage::kMountRoot}},
    {"Container", [] { return container_rows({}, {}); }, {Stage::kContainerFiles}},
    {"PrivilegedContainer", privileged, {Stage::kContainerFiles}},
    {"Limits", limits, {Stage::kCgroup}},
};

class EveryRow : public testing::TestWithParam<Table> {};

// Each fails once, and no other: a fatal one ends the boot with its stage, object, errno and hint,
// any other is passed over.
TEST_P(EveryRow, MayFail) {
  const Rows rows = GetParam().rows();
  FakeBootSystem whole;
  ASSERT_TRUE(run_rows(rows, whole).has_value());
  ASSERT_EQ(whole.calls.size(), rows.size());
  std::set<Stage> seen;
  for (size_t n = 0; n < rows.size(); ++n) {
    SCOPED_TRACE(whole.calls[n]);
    const int why = n % 2 == 0 ? EIO : ENOSPC;
    FakeBootSystem system;
    system.fail_call(n, why);
    const auto done = run_rows(rows, system);
    seen.insert(rows[n].stage);
    if (!rows[n].fatal) {
      EXPECT_TRUE(done.has_value());
      EXPECT_EQ(system.calls, whole.calls);
      continue;
    }
    EXPECT_EQ(system.calls, Calls(whole.calls.begin(), whole.calls.begin() + n + 1));
    ASSERT_TRUE(done.has_error());
    const auto& [stage, error] = done.error();
    EXPECT_EQ(stage, rows[n].stage);
    EXPECT_EQ(error.code, std::error_code(why, std::generic_category()));
    EXPECT_EQ(error.object, rows[n].object.empty() ? rows[n].target : rows[n].object);
    EXPECT_FALSE(error.object.empty());
    EXPECT_FALSE(error.operation.empty());
    EXPECT_EQ(error.detail, rows[n].hint);
    EXPECT_FALSE(error.detail.empty() && protocol::stage_hint(stage).empty());
  }
  EXPECT_EQ(seen, GetParam().stages);
}

INSTANTIATE_TEST_SUITE_P(BootTable, EveryRow, testing::ValuesIn(kTables),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(BootTable, TheAgentIsProtectedAndOutOfTheContainersGroup) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(early_rows(), system).has_value());
  EXPECT_TRUE(system.did("write /proc/self/oom_score_adj -1000"));
  EXPECT_TRUE(system.did("write /sys/fs/cgroup/agent/cgroup.procs 0"));
  EXPECT_TRUE(system.did("loopback"));
}

// While the initramfs has it, and before anybody runs it again.
TEST(BootTable, TheAgentsProgramIsWriteProtected) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(early_rows(), system).has_value());
  EXPECT_LT(system.position("mount /init /root.new/agent"), system.position("root /root.new"));
  const Rows rows = early_rows();
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [](const BootRow& row) {
    constexpr unsigned long kReadOnly = MS_BIND | MS_REMOUNT | MS_RDONLY;
    return row.target == "/root.new/agent" && (row.flags & kReadOnly) == kReadOnly && row.fatal;
  }));
}

TEST(BootTable, NothingIsMountedBeforeTheAgentHasItsOwnRoot) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(early_rows(), system).has_value());
  EXPECT_LT(system.position("root /root.new"), system.position("mount proc /proc"));
  EXPECT_LT(system.position("mount tmpfs /root.new"), system.position("root /root.new"));
}

TEST(BootTable, DevHoldsWhatOciPrescribesAndNoMore) {
  FakeBootSystem system;
  ASSERT_TRUE(run_rows(container_rows({}, {}), system).has_value());
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
