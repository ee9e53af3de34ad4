// What a container may use, by Docker's flags, and the machine that this makes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "protocol/config.h"
#include "vch/machine/container_store.h"

namespace vch {

// As typed; what is absent stays as it is.
struct LimitOptions {
  std::optional<std::string> memory{};
  std::optional<std::string> memory_max{};  // what `memory` can be raised to while it runs
  std::optional<std::string> memory_reservation{};
  std::optional<std::string> cpus{};  // "1.5"
  std::optional<uint32_t> cpus_max{};
  std::optional<uint32_t> cpu_shares{};
  std::optional<int64_t> pids_limit{};  // -1: as many as the machine has memory for
};

inline constexpr const char* kDefaultMemory = "256m";
inline constexpr uint32_t kMostCpus = 64;
// Eight CPUs that may come cost nothing measurable at the start, sixteen 2 % of it.
inline constexpr uint32_t kPreparedCpus = 8;
inline constexpr uint64_t kPreparedMemory = 4;  // times what the machine starts with

// "1.5": 1500. At least 0.01.
common::Result<uint32_t> parse_cpus(const std::string& text);
// cpu.weight for Docker's shares, as runc computes it.
uint32_t weight_of_shares(uint32_t shares);

// Over what the container has. A container that has nothing yet gets the defaults: 256 MiB, one
// CPU. `host_memory` bounds the machine. Errors name the flag. Where the machine outgrows what it
// was prepared for, so much is prepared for the next start.
common::Status apply_limits(const LimitOptions& options, uint64_t host_memory, ContainerSpec& spec,
                            protocol::pb::Resources& resources);

}  // namespace vch
