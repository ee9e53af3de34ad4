#include "vch/cli/process_rows.h"

#include <array>
#include <cstdio>

#include "common/result.h"

namespace vch {
namespace {

using tether::v1::Process;

constexpr uint64_t kMsPerS = 1000;
constexpr uint64_t kSPerMinute = 60;
constexpr uint64_t kSPerHour = 3600;
constexpr int64_t kSPerDay = 86400;

// The share of one processor since it started, as ps has it.
std::string cpu_share(const Process& process, uint64_t now_ms) {
  if (now_ms <= process.started_ms()) return "0";
  return std::to_string(process.cpu_ms() * 100 / (now_ms - process.started_ms()));
}

std::string start_time(const Process& process, uint64_t now_ms, std::time_t now) {
  const uint64_t age_ms = now_ms > process.started_ms() ? now_ms - process.started_ms() : 0;
  const auto age = static_cast<int64_t>(age_ms / kMsPerS);
  const std::time_t started = now - age;
  std::tm parts{};
  ::localtime_r(&started, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), age < kSPerDay ? "%H:%M" : "%b%d", &parts);
  return text.data();
}

std::string cpu_time(const Process& process) {
  const uint64_t seconds = process.cpu_ms() / kMsPerS;
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%02llu:%02u:%02u",
                static_cast<unsigned long long>(seconds / kSPerHour),
                static_cast<unsigned>(seconds / kSPerMinute % kSPerMinute),
                static_cast<unsigned>(seconds % kSPerMinute));
  return text.data();
}

}  // namespace

std::vector<std::vector<std::string>> process_rows(const tether::v1::Processes& list,
                                                   std::time_t now) {
  std::vector<std::vector<std::string>> rows = {
      {"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}};
  for (const Process& process : list.process()) {
    // The agent has escaped it; but who speaks there may not be the agent.
    rows.push_back({std::to_string(process.uid()), std::to_string(process.pid()),
                    std::to_string(process.parent()), cpu_share(process, list.now_ms()),
                    start_time(process, list.now_ms(), now),
                    process.tty().empty() ? "?" : common::escape(process.tty()), cpu_time(process),
                    common::escape(process.command())});
  }
  return rows;
}

}  // namespace vch
