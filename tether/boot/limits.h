// The container's limits: what its control group says, in a machine of a given size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "tether/boot/boot_table.h"

namespace tether {

// The limits in force, serialised tether.v1.Resources, where no container sees it.
inline constexpr const char* kLimitsFile = "/run/limits";

struct MachineSize {
  uint64_t memory = 0;   // bytes that the kernel manages; 0: unknown
  uint32_t cpus = 0;     // online; 0: unknown
  uint64_t threads = 0;  // the kernel's own limit; 0: unknown
};

// As it is now, after `proc` and `sys` ("/proc", "/sys").
MachineSize machine_size(const std::string& proc, const std::string& sys);

// What stays beside the container, so that it meets its own limit before the machine meets the end
// of its memory: the agent, and what the kernel takes for nobody in particular.
uint64_t memory_reserve(uint64_t memory);

// The files of the container's group. Fields that are 0: the machine's own size is the limit.
std::vector<BootRow> limit_rows(const protocol::pb::Resources& resources, const MachineSize& size);

// As cpu.max has it: "150000 100000", or "max 100000" where the machine has no more anyway.
std::string cpu_quota(uint32_t millis, uint32_t cpus);

// "0-3,6": how many numbers that names; bounded by the text.
uint32_t count_list(std::string_view list);

}  // namespace tether
