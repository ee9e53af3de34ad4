#include "vch/machine/limits.h"

#include <algorithm>
#include <charconv>

#include "vch/machine/container_config.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr uint32_t kMillis = 1000;
constexpr uint32_t kLeastMillis = 10;  // a quota of 1 ms, the kernel's least
constexpr uint32_t kLeastShares = 2;
constexpr uint32_t kMostShares = 262144;
constexpr uint32_t kMostWeight = 10000;

common::Error refuse(const char* flag, const std::string& value, std::string why) {
  return make_error(EINVAL, flag, "'" + value + "'", std::move(why));
}

Result<uint64_t> size_of(const char* flag, const std::string& text) {
  auto size = parse_size(text);
  if (size.has_error()) return refuse(flag, text, size.error().detail);
  return *size;
}

Result<uint64_t> machine_memory(const char* flag, const std::string& text, uint64_t host_memory) {
  ASSIGN_OR_RETURN(const uint64_t memory, size_of(flag, text));
  if (memory >= kLeastMachineMemory && memory <= host_memory) return memory;
  return refuse(flag, text,
                "want between " + std::to_string(kLeastMachineMemory >> 20U) + "m and " +
                    std::to_string(host_memory >> 20U) + "m, what this host has");
}

Status apply_memory(const LimitOptions& options, uint64_t host_memory, ContainerSpec& spec,
                    protocol::pb::Resources& resources) {
  if (options.memory || spec.memory == 0) {
    const std::string text = options.memory.value_or(kDefaultMemory);
    ASSIGN_OR_RETURN(spec.memory, machine_memory("--memory", text, host_memory));
    resources.set_memory_max(spec.memory);
  }
  if (options.memory_max) {
    ASSIGN_OR_RETURN(spec.memory_top,
                     machine_memory("--memory-max", *options.memory_max, host_memory));
    if (spec.memory_top < spec.memory) {
      return refuse("--memory-max", *options.memory_max,
                    "want at least --memory, " + std::to_string(spec.memory >> 20U) + "m");
    }
  }
  if (spec.memory_top < spec.memory) {
    const bool fits = spec.memory <= host_memory / kPreparedMemory;
    spec.memory_top = fits ? spec.memory * kPreparedMemory : host_memory;
  }
  if (options.memory_reservation) {
    ASSIGN_OR_RETURN(const uint64_t low,
                     size_of("--memory-reservation", *options.memory_reservation));
    resources.set_memory_low(low);
  }
  if (resources.memory_low() <= spec.memory) return {};
  return refuse("--memory-reservation", std::to_string(resources.memory_low() >> 20U) + "m",
                "want at most --memory, " + std::to_string(spec.memory >> 20U) + "m");
}

Status apply_cpus(const LimitOptions& options, ContainerSpec& spec,
                  protocol::pb::Resources& resources) {
  if (options.cpus) {
    ASSIGN_OR_RETURN(const uint32_t millis, parse_cpus(*options.cpus));
    resources.set_cpu_millis(millis);
    spec.cpus = (millis + kMillis - 1) / kMillis;
  }
  if (options.cpus_max) {
    spec.cpus_top = *options.cpus_max;
    if (spec.cpus_top < spec.cpus || spec.cpus_top > kMostCpus) {
      return refuse("--cpus-max", std::to_string(spec.cpus_top),
                    "want from --cpus, " + std::to_string(spec.cpus) + ", to 64");
    }
  }
  if (spec.cpus_top < spec.cpus) spec.cpus_top = std::max(spec.cpus, kPreparedCpus);
  if (!options.cpu_shares) return {};
  if (*options.cpu_shares < kLeastShares || *options.cpu_shares > kMostShares) {
    return refuse("--cpu-shares", std::to_string(*options.cpu_shares), "want 2 to 262144");
  }
  spec.cpu_shares = *options.cpu_shares;
  resources.set_cpu_weight(weight_of_shares(spec.cpu_shares));
  return {};
}

}  // namespace

Result<uint32_t> parse_cpus(const std::string& text) {
  const auto bad = [&text] {
    return refuse("--cpus", text, "want a number as 2 or 1.5, from 0.01 to 64");
  };
  const size_t point = std::min(text.find('.'), text.size());
  std::string thousandths = text.substr(std::min(point + 1, text.size()));
  if (thousandths.size() > 3 || text.empty() || (point < text.size() && thousandths.empty())) {
    return bad();
  }
  thousandths.resize(3, '0');
  const std::string digits = text.substr(0, point) + thousandths;
  uint32_t millis = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), millis);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return bad();
  if (millis < kLeastMillis || millis > kMostCpus * kMillis) return bad();
  return millis;
}

uint32_t weight_of_shares(uint32_t shares) {
  return 1 + (shares - kLeastShares) * (kMostWeight - 1) / (kMostShares - kLeastShares);
}

Status apply_limits(const LimitOptions& options, uint64_t host_memory, ContainerSpec& spec,
                    protocol::pb::Resources& resources) {
  RETURN_IF_ERROR(apply_memory(options, host_memory, spec, resources));
  RETURN_IF_ERROR(apply_cpus(options, spec, resources));
  if (!options.pids_limit) return {};
  const int64_t pids = *options.pids_limit;
  if (pids < -1 || pids > INT32_MAX) {
    return refuse("--pids-limit", std::to_string(pids), "want a number, or -1 for no limit");
  }
  // 0 is -1, as with Docker.
  resources.set_pids_max(pids <= 0 ? UINT32_MAX : static_cast<uint32_t>(pids));
  return {};
}

}  // namespace vch
