// From the kernel's first call to a machine in which the rest of the agent can work.
#include <sys/mount.h>

#include "tether/boot/boot_table.h"
#include "tether/boot/hooks.h"
#include "tether/boot/own_program.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr const char* kOwnRoot = "/root.new";
constexpr const char* kInitProgram = "/init";  // in the initramfs

BootRow enter_root_row() {
  BootRow row;
  row.action = BootRow::Action::kEnterRoot;
  row.target = kOwnRoot;
  return row;
}

BootRow tools_row() {
  BootRow row = mount_row("", std::string(kOwnRoot) + "/tools", MS_BIND, "", false);
  row.source = "/tools";
  return row;
}

// Before the initramfs is emptied: a file without a name cannot be mounted any more.
void add_own_program(std::vector<BootRow>& rows) {
  const std::string place = std::string(kOwnRoot) + kOwnProgram;
  BootRow file;  // A mount of a file needs one below it, of whatever kind.
  file.action = BootRow::Action::kDevice;
  file.target = place;
  file.mode = 0400;
  file.major = 1;
  file.minor = 3;
  rows.push_back(file);
  rows.push_back(mount_row("", place, MS_BIND, ""));
  rows.back().source = kInitProgram;
  rows.push_back(mount_row("", place, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, ""));
}

BootRow loopback_row() {
  BootRow row;
  row.action = BootRow::Action::kLoopback;
  row.object = "lo";
  return row;
}

void add_file_systems(std::vector<BootRow>& rows) {
  rows.push_back(mount_row("proc", "/proc", kPlain, ""));
  rows.push_back(mount_row("sysfs", "/sys", kPlain, ""));
  rows.push_back(mount_row("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755"));
  rows.push_back(directory_row("/dev/pts"));
  rows.push_back(
      mount_row("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0600,mode=0600", false));
  rows.push_back(mount_row("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=16m"));
  rows.push_back(link_row("/proc/self/fd", "/dev/fd"));
  rows.push_back(link_row("/proc/self/fd/0", "/dev/stdin"));
  rows.push_back(link_row("/proc/self/fd/1", "/dev/stdout"));
  rows.push_back(link_row("/proc/self/fd/2", "/dev/stderr"));
}

// The agent in a group of its own, so that nothing which is done to the container's reaches it.
void add_cgroups(std::vector<BootRow>& rows) {
  const std::string root = "/sys/fs/cgroup";
  rows.push_back(mount_row("cgroup2", root, kPlain, "nsdelegate"));
  // One by one: a kernel that lacks one of them still gives the others.
  for (const char* controller : {"+cpu", "+cpuset", "+hugetlb", "+io", "+memory", "+pids"}) {
    rows.push_back(write_row(root + "/cgroup.subtree_control", controller));
  }
  rows.push_back(directory_row(root + "/agent"));
  rows.push_back(directory_row(kContainerCgroup));
  rows.push_back(write_row(root + "/agent/cgroup.procs", "0", true));
  // Whatever the container does to its machine, the agent has a say in it.
  rows.push_back(write_row(root + "/agent/cpu.weight", "10000"));
  rows.push_back(write_row(root + "/agent/memory.min", "24M"));
  // A privileged container may have swap on a disk of its own: the key does not belong there. With
  // that nothing of the agent's is ever paged out, since its binary lies in memory as well.
  rows.push_back(write_row(root + "/agent/memory.swap.max", "0"));
  rows.push_back(write_row("/proc/self/oom_score_adj", "-1000", true));
}

// What Docker's hosts have set and a bare kernel has not.
void add_settings(std::vector<BootRow>& rows) {
  static constexpr std::pair<const char*, const char*> kSettings[] = {
      // Each open file is memory of whose it is: that is the bound, and the container's own.
      // Another
      // would be one that the link process, which is no longer root, shares with the container.
      {"fs/file-max", "9223372036854775807"},
      {"fs/protected_hardlinks", "1"},
      {"fs/protected_symlinks", "1"},
      {"fs/protected_fifos", "1"},
      {"fs/protected_regular", "2"},
      {"kernel/ctrl-alt-del", "0"},
      {"kernel/dmesg_restrict", "1"},
      {"net/ipv4/ip_unprivileged_port_start", "0"},
      {"net/ipv4/ping_group_range", "0 2147483647"},
  };
  for (const auto& [name, value] : kSettings) {
    rows.push_back(write_row(std::string("/proc/sys/") + name, value));
  }
  // Ends what would else be minutes of evicting programs' text and reading it again: when not even
  // the pages of the last half second fit, somebody is killed.
  rows.push_back(write_row("/sys/kernel/mm/lru_gen/min_ttl_ms", "500"));
  // Memory that is plugged in is used at once, most of it so that it can be taken back; never so
  // much of it that the kernel's own would find no room.
  rows.push_back(write_row("/sys/module/memory_hotplug/parameters/online_policy", "auto-movable"));
  rows.push_back(write_row("/sys/devices/system/memory/auto_online_blocks", "online"));
}

}  // namespace

std::vector<BootRow> early_rows() {
  std::vector<BootRow> rows;
  // The initramfs cannot be pivoted away from, so that a container would always keep it below its
  // own root. On a tmpfs of its own the agent can be left behind.
  rows.push_back(directory_row(kOwnRoot));
  rows.push_back(
      mount_row("tmpfs", kOwnRoot, MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=1m"));
  for (const char* name : {"/dev", "/proc", "/sys", "/run", "/tools"}) {
    rows.push_back(directory_row(std::string(kOwnRoot) + name));
  }
  // Only some ISOs have it. A bind mount copies nothing.
  rows.push_back(tools_row());
  add_own_program(rows);
  rows.push_back(enter_root_row());
  add_file_systems(rows);
  add_cgroups(rows);
  add_settings(rows);
  rows.push_back(loopback_row());
  return rows;
}

StageResult<void> mount_early() {
  if (auto done = run_rows(early_rows(), real_system()); done.has_error()) return done;
  if (const auto done = run_hooks("early"); done.has_error()) {
    return StageError{BootRow().stage, done.error()};
  }
  return {};
}

}  // namespace tether
