#include "vch/cli/stats_text.h"

#include <array>
#include <cstdio>

#include "common/result.h"

namespace vch {
namespace {

using Json = nlohmann::ordered_json;
using tether::v1::Stats;

constexpr const char* kUnknown = "--";
constexpr double kHundredths = 100;

std::string scaled(uint64_t bytes, double step, std::initializer_list<const char*> units,
                   int digits) {
  double value = static_cast<double>(bytes);
  auto unit = units.begin();
  while (value >= step && unit + 1 != units.end()) {
    value /= step;
    ++unit;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*g%s", digits, value, *unit);
  return text.data();
}

uint64_t used_memory(const Stats& stats) {
  // What can go at once is nobody's, as with Docker.
  return stats.memory() > stats.memory_cache() ? stats.memory() - stats.memory_cache() : 0;
}

double memory_share(const Stats& stats) {
  if (stats.memory_max() == 0) return 0;
  return static_cast<double>(used_memory(stats)) / static_cast<double>(stats.memory_max());
}

struct Traffic {
  uint64_t received = 0, sent = 0;
};

Traffic traffic(const Stats& stats) {
  Traffic sum;
  for (const auto& interface : stats.interfaces()) {
    sum.received += interface.received();
    sum.sent += interface.sent();
  }
  return sum;
}

// The share of the last ten seconds in which something had to wait.
std::string pressure_text(const Stats& stats) {
  std::string text;
  for (const char* resource : {"cpu", "memory", "io"}) {
    for (const auto& row : stats.pressure()) {
      if (row.resource() != resource || row.full()) continue;
      text += (text.empty() ? "" : " / ") + per_cent(row.average_10s() / kHundredths / kHundredths);
    }
  }
  return text.empty() ? kUnknown : text;
}

Json raw_interfaces(const Stats& stats) {
  Json all = Json::array();
  for (const auto& one : stats.interfaces()) {
    all.push_back({{"Name", common::escape(one.name())},
                   {"Received", one.received()},
                   {"Sent", one.sent()},
                   {"ReceivedPackets", one.received_packets()},
                   {"SentPackets", one.sent_packets()},
                   {"ReceivedDropped", one.received_dropped()},
                   {"SentDropped", one.sent_dropped()}});
  }
  return all;
}

Json raw_pressure(const Stats& stats) {
  Json all = Json::object();
  for (const auto& row : stats.pressure()) {
    all[common::escape(row.resource())][row.full() ? "Full" : "Some"] = {
        {"Average10s", row.average_10s() / kHundredths},
        {"Average60s", row.average_60s() / kHundredths},
        {"Average300s", row.average_300s() / kHundredths},
        {"TotalUs", row.total_us()}};
  }
  return all;
}

Json raw(const Stats& stats) {
  return {{"UptimeNs", stats.wall_ns()},
          {"CpuUs", stats.cpu_us()},
          {"CpuUserUs", stats.cpu_user_us()},
          {"CpuSystemUs", stats.cpu_system_us()},
          {"CpuThrottledUs", stats.cpu_throttled_us()},
          {"Cpus", stats.cpus()},
          {"Memory", stats.memory()},
          {"MemoryCache", stats.memory_cache()},
          {"MemoryMax", stats.memory_max()},
          {"Pids", stats.pids()},
          {"PidsMax", stats.pids_max()},
          {"BlockRead", stats.block_read()},
          {"BlockWritten", stats.block_written()},
          {"Interfaces", raw_interfaces(stats)},
          {"Pressure", raw_pressure(stats)},
          {"OomKills", stats.oom_kills()}};
}

}  // namespace

std::string binary_size(uint64_t bytes) {
  return scaled(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB"}, 4);
}

std::string decimal_size(uint64_t bytes) {
  return scaled(bytes, 1000, {"B", "kB", "MB", "GB", "TB"}, 3);
}

std::string per_cent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f%%", share * 100);
  return text.data();
}

std::optional<double> cpu_share(const Stats& before, const Stats& now) {
  if (now.wall_ns() <= before.wall_ns() || now.cpu_us() < before.cpu_us()) return std::nullopt;
  constexpr double kNsPerUs = 1000;
  return static_cast<double>(now.cpu_us() - before.cpu_us()) * kNsPerUs /
         static_cast<double>(now.wall_ns() - before.wall_ns());
}

Json stats_row(const std::string& id, const std::string& name, const Stats* before,
               const Stats* stats) {
  Json row = {{"Container", id}, {"ID", id.substr(0, 12)}, {"Name", name}};
  if (stats == nullptr) {
    for (const char* column :
         {"CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs", "Pressure"}) {
      row[column] = kUnknown;
    }
    row["Raw"] = nullptr;
    return row;
  }
  const auto share = before == nullptr ? std::nullopt : cpu_share(*before, *stats);
  const Traffic net = traffic(*stats);
  row["CPUPerc"] = share ? per_cent(*share) : kUnknown;
  row["MemUsage"] = binary_size(used_memory(*stats)) + " / " + binary_size(stats->memory_max());
  row["MemPerc"] = per_cent(memory_share(*stats));
  row["NetIO"] = decimal_size(net.received) + " / " + decimal_size(net.sent);
  row["BlockIO"] = decimal_size(stats->block_read()) + " / " + decimal_size(stats->block_written());
  row["PIDs"] = std::to_string(stats->pids());
  row["Pressure"] = pressure_text(*stats);
  row["Raw"] = raw(*stats);
  return row;
}

const Json& stats_heading() {
  static const Json heading = {{"Container", "CONTAINER"},
                               {"ID", "CONTAINER ID"},
                               {"Name", "NAME"},
                               {"CPUPerc", "CPU %"},
                               {"MemUsage", "MEM USAGE / LIMIT"},
                               {"MemPerc", "MEM %"},
                               {"NetIO", "NET I/O"},
                               {"BlockIO", "BLOCK I/O"},
                               {"PIDs", "PIDS"},
                               {"Pressure", "PRESSURE CPU / MEM / IO"},
                               {"Raw", "RAW"}};
  return heading;
}

}  // namespace vch
