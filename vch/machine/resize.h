// More and fewer CPUs, more and less memory for a machine that runs.
#pragma once

#include <cstdint>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

struct MachineResources {
  uint64_t memory = 0;       // bytes, what was plugged in included
  uint64_t base_memory = 0;  // of it, what it started with: that cannot be taken back
  uint64_t memory_top = 0;   // with all that can be plugged in
  uint32_t cpus = 0;         // likewise
  uint32_t cpus_top = 0;
};

// As QEMU says; ENOENT or ECONNREFUSED when the machine does not run.
common::Result<MachineResources> machine_resources(const Container& container);

// Plugs CPUs in until there are `cpus`; the guest's agent brings them online. Never unplugs any: an
// offline one costs nothing. ERANGE names what the machine was prepared for.
common::Status plug_cpus(const Container& container, uint32_t cpus);

// Asks the guest to take or give memory until the machine has `memory` bytes, rounded up to 4 MiB,
// and waits until it has, or has changed nothing for 3 s. Gives what the machine has then: taking
// back, it may be more than was asked for. ERANGE as above; never less than it started with.
common::Result<uint64_t> resize_memory(const Container& container, uint64_t memory);

}  // namespace vch
