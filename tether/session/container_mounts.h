// What a container finds in /dev, /proc and /sys, as the OCI runtime specification has it.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/container_vm.pb.h"
#include "tether/boot/boot_table.h"

namespace tether {

// Nodes for what the machine's own /dev has, but for the agent's devices: what a privileged
// container finds. To be asked for while the root is still the machine's; at most 512.
std::vector<BootRow> machine_devices();

// /dev, /sys and what lies below, for a process whose root is already the container's; `devices`
// beside those that every container has. /proc is missing: it must be mounted from inside the new
// pid namespace.
std::vector<BootRow> container_rows(const ::tether::v1::Sandbox& sandbox,
                                    std::span<const BootRow> devices);

// What is done to /proc and /sys once /proc is there.
struct ProcPlan {
  std::vector<std::pair<std::string, std::string>> sysctls;  // path, value
  std::vector<std::string> read_only;
  std::vector<std::string> masked;
};
ProcPlan plan_proc(const ::tether::v1::Sandbox& sandbox);

struct ProcFailure {
  int errno_value = 0;  // 0: none
  const char* object = "";
};
// Mounts /proc, makes the settings, then hides and write-protects what shows or moves the machine.
// Async-signal-safe.
ProcFailure mount_proc(const ProcPlan& plan);

}  // namespace tether
