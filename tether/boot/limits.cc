#include "tether/boot/limits.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "common/io.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

constexpr uint32_t kDefaultPids = 16384;
constexpr uint64_t kAgentThreads =
    384;  // its helpers, launchers and link process, and the kernel's
constexpr uint64_t kLeastReserve = uint64_t{12} << 20U;
constexpr uint64_t kReserveShare = 32;
constexpr uint32_t kCpuPeriodUs = 100000;
constexpr uint32_t kMillis = 1000;
constexpr size_t kMaxFile = 16384;

uint64_t read_number(const std::string& path) {
  const auto text = common::read_file(path, kMaxFile);
  return text.has_value() ? std::strtoull(text->c_str(), nullptr, 10) : 0;
}

uint64_t total_memory(const std::string& meminfo) {
  const auto text = common::read_file(meminfo, kMaxFile);
  constexpr std::string_view kField = "MemTotal:";
  if (text.has_error() || !text->starts_with(kField)) return 0;
  return std::strtoull(text->c_str() + kField.size(), nullptr, 10) << 10U;
}

uint64_t memory_limit(uint64_t wanted, uint64_t memory) {
  const uint64_t reserve = memory_reserve(memory);
  if (memory <= 2 * reserve) return wanted;
  return wanted == 0 ? memory - reserve : std::min(wanted, memory - reserve);
}

// The kernel's own limit counts the agent too: a container that forks without end must meet its own
// limit first.
uint64_t pids_limit(uint64_t wanted, uint64_t threads) {
  const uint64_t pids = wanted == 0 ? kDefaultPids : wanted;
  return threads > 2 * kAgentThreads ? std::min(pids, threads - kAgentThreads) : pids;
}

}  // namespace

MachineSize machine_size(const std::string& proc, const std::string& sys) {
  MachineSize size;
  size.memory = total_memory(proc + "/meminfo");
  size.threads = read_number(proc + "/sys/kernel/threads-max");
  const auto online = common::read_file(sys + "/devices/system/cpu/online", kMaxFile);
  if (online.has_value()) size.cpus = count_list(*online);
  return size;
}

uint64_t memory_reserve(uint64_t memory) { return kLeastReserve + memory / kReserveShare; }

std::string cpu_quota(uint32_t millis, uint32_t cpus) {
  const std::string period = " " + std::to_string(kCpuPeriodUs);
  if (millis == 0 || (cpus != 0 && millis >= uint64_t{cpus} * kMillis)) return "max" + period;
  return std::to_string(uint64_t{millis} * (kCpuPeriodUs / kMillis)) + period;
}

uint32_t count_list(std::string_view list) {
  uint32_t count = 0;
  while (!list.empty()) {
    const std::string_view part = list.substr(0, std::min(list.find(','), list.size()));
    uint32_t first = 0;
    const char* end = part.data() + part.size();
    const auto head = std::from_chars(part.data(), end, first);
    if (head.ec != std::errc()) break;
    uint32_t last = first;
    if (head.ptr != end && *head.ptr == '-') std::from_chars(head.ptr + 1, end, last);
    if (last >= first) count += last - first + 1;
    list.remove_prefix(std::min(part.size() + 1, list.size()));
  }
  return count;
}

std::vector<BootRow> limit_rows(const protocol::pb::Resources& resources, const MachineSize& size) {
  const std::string group = kContainerCgroup;
  const uint64_t memory = memory_limit(resources.memory_max(), size.memory);
  const uint32_t weight = resources.cpu_weight() == 0 ? 100 : resources.cpu_weight();
  const std::pair<const char*, std::string> files[] = {
      {"/pids.max", std::to_string(pids_limit(resources.pids_max(), size.threads))},
      {"/memory.max", memory == 0 ? "max" : std::to_string(memory)},
      {"/memory.low", std::to_string(resources.memory_low())},
      {"/cpu.max", cpu_quota(resources.cpu_millis(), size.cpus)},
      {"/cpu.weight", std::to_string(weight)}};
  std::vector<BootRow> rows;
  for (const auto& [file, text] : files) {
    BootRow row = write_row(group + file, text, true);
    row.stage = protocol::Stage::kCgroup;
    row.hint = "the limit '" + text + "' was not taken";
    rows.push_back(std::move(row));
  }
  return rows;
}

StageResult<void> limit_container(const protocol::pb::Resources& resources) {
  // For updates to come; without it they begin from nothing.
  (void)common::write_file_atomically(kLimitsFile, resources.SerializeAsString(), 0600);
  return run_rows(limit_rows(resources, machine_size("/proc", "/sys")), real_system());
}

}  // namespace tether
