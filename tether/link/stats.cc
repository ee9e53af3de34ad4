#include "tether/link/stats.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

#include "common/result.h"
#include "tether/boot/limits.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using ::tether::v1::Stats;

constexpr size_t kMostText = 64 * 1024;
constexpr int kMostInterfaces = 64;

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "1.23" as 123.
uint32_t hundredths(std::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view rest = text.substr(std::min(point + 1, text.size()));
  return static_cast<uint32_t>(number(text.substr(0, point)) * 100 + number(rest.substr(0, 2)));
}

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// What stands behind "name=" in a word of the line.
std::string_view value_of(std::string_view line, std::string_view name) {
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    if (word.starts_with(name)) return word.substr(name.size());
  }
  return {};
}

}  // namespace

uint64_t stats_field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (take_word(line) == name) return number(take_word(line));
  }
  return 0;
}

void add_block_stats(std::string_view text, Stats& stats) {
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    stats.set_block_read(stats.block_read() + number(value_of(line, "rbytes=")));
    stats.set_block_written(stats.block_written() + number(value_of(line, "wbytes=")));
  }
}

void add_network_stats(std::string_view text, Stats& stats) {
  while (!text.empty() && stats.interfaces_size() < kMostInterfaces) {
    std::string_view line = take_line(text);
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;  // a heading
    std::string_view name = line.substr(0, colon);
    name = take_word(name);
    if (name == "lo" || name.empty()) continue;
    line.remove_prefix(colon + 1);
    std::vector<uint64_t> numbers;  // bytes, packets, errors, dropped, 4 more; likewise sent
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
      numbers.push_back(number(word));
    }
    constexpr size_t kColumns = 16;
    if (numbers.size() < kColumns) continue;
    auto& row = *stats.add_interfaces();
    row.set_name(common::escape(name));
    row.set_received(numbers[0]);
    row.set_received_packets(numbers[1]);
    row.set_received_dropped(numbers[3]);
    row.set_sent(numbers[8]);
    row.set_sent_packets(numbers[9]);
    row.set_sent_dropped(numbers[11]);
  }
}

void add_pressure(std::string_view text, const char* resource, Stats& stats) {
  while (!text.empty()) {
    std::string_view line = take_line(text);
    const std::string_view kind = take_word(line);
    if (kind != "some" && kind != "full") continue;
    auto& row = *stats.add_pressure();
    row.set_resource(resource);
    row.set_full(kind == "full");
    row.set_average_10s(hundredths(value_of(line, "avg10=")));
    row.set_average_60s(hundredths(value_of(line, "avg60=")));
    row.set_average_300s(hundredths(value_of(line, "avg300=")));
    row.set_total_us(number(value_of(line, "total=")));
  }
}

void StatsFiles::use(uint32_t which, common::UniqueFd file) {
  if (which < files_.size()) files_[which] = std::move(file);
}

std::string StatsFiles::text(StatsFile which) const {
  const int fd = files_[static_cast<size_t>(which)].get();
  std::string out;
  std::array<char, 4096> piece;
  while (fd >= 0 && out.size() < kMostText) {
    const ssize_t n = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(out.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(piece.data(), static_cast<size_t>(n));
  }
  return out;
}

Stats StatsFiles::read() const {
  Stats stats;
  const std::string cpu = text(StatsFile::kCpu);
  stats.set_wall_ns(now_ns(CLOCK_BOOTTIME));
  stats.set_cpu_us(stats_field(cpu, "usage_usec"));
  stats.set_cpu_user_us(stats_field(cpu, "user_usec"));
  stats.set_cpu_system_us(stats_field(cpu, "system_usec"));
  stats.set_cpu_throttled_us(stats_field(cpu, "throttled_usec"));
  stats.set_cpus(count_list(text(StatsFile::kOnlineCpus)));
  stats.set_memory(number(text(StatsFile::kMemory)));
  stats.set_memory_cache(stats_field(text(StatsFile::kMemoryDetail), "inactive_file"));
  stats.set_memory_max(number(text(StatsFile::kMemoryMax)));
  if (struct sysinfo machine{}; stats.memory_max() == 0 && ::sysinfo(&machine) == 0) {
    stats.set_memory_max(uint64_t{machine.totalram} * machine.mem_unit);
  }
  stats.set_pids(static_cast<uint32_t>(number(text(StatsFile::kPids))));
  stats.set_pids_max(static_cast<uint32_t>(number(text(StatsFile::kPidsMax))));
  add_block_stats(text(StatsFile::kBlock), stats);
  add_network_stats(text(StatsFile::kNetwork), stats);
  add_pressure(text(StatsFile::kCpuPressure), "cpu", stats);
  add_pressure(text(StatsFile::kMemoryPressure), "memory", stats);
  add_pressure(text(StatsFile::kIoPressure), "io", stats);
  stats.set_oom_kills(stats_field(text(StatsFile::kMemoryEvents), "oom_kill"));
  return stats;
}

}  // namespace tether
