// Which devices a container may open, whatever nodes it makes for them: a program that the kernel
// asks about each opening by a process outside of the agent's control group.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/result.h"

struct bpf_insn;

namespace tether {

// Character devices.
struct DeviceRange {
  uint32_t major = 0;
  uint32_t first_minor = 0;
  uint32_t last_minor = UINT32_MAX;
  uint32_t last_major = 0;  // 0: `major` alone

  bool holds(uint32_t of_major, uint32_t of_minor) const {
    const bool of_these =
        last_major == 0 ? of_major == major : of_major >= major && of_major <= last_major;
    return of_these && of_minor >= first_minor && of_minor <= last_minor;
  }
};

// The agent's own: ports of links and journal, serial lines, consoles, the watchdog; and numbers
// that no driver has yet. A driver that is taken off a device and put back (sysfs lets root do
// that) may come back with another number.
std::vector<DeviceRange> agent_devices();
// The same for a given /proc/devices.
std::vector<DeviceRange> agent_devices_of(std::string_view list);

// Lets the group whose id is `agent` do everything. Others may make any node and open what is in
// `ranges`; with `deny`, may neither make nor open what is in `ranges`, and everything else.
std::vector<bpf_insn> device_program(uint64_t agent, std::span<const DeviceRange> ranges,
                                     bool deny);

// For all processes but the agent's own: Docker's devices, or when `privileged` all but the
// agent's. Lies above the container's group, which cannot take it away.
common::Status limit_devices(bool privileged);

// From now on nobody, root included, reaches I/O ports or the kernel's memory (lockdown(7)).
common::Status lock_kernel();

}  // namespace tether
