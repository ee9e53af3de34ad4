// What a container finds in /dev, /proc and /sys, as the OCI runtime specification has it.
#pragma once

#include <vector>

#include "tether/boot/boot_table.h"

namespace tether {

// /dev, /sys and what lies below, for a process whose root is already the container's. /proc is
// missing: it must be mounted from inside the new pid namespace.
std::vector<BootRow> container_rows();

struct ProcFailure {
  int errno_value = 0;  // 0: none
  const char* object = "";
};
// Mounts /proc, then hides and write-protects what shows or moves the machine. Async-signal-safe.
ProcFailure mount_proc();

}  // namespace tether
