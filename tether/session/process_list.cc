#include "tether/session/process_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <memory>
#include <set>
#include <vector>

#include "common/io.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using tether::v1::Process;
using tether::v1::Processes;

constexpr size_t kMaxText = 16384;
constexpr unsigned kTimeLimitS = 20;

template <typename T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t start = text.find_first_not_of(" \t\n");
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

// The line of /proc/PID/status that begins with this.
std::string_view field(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    const size_t end = std::min(status.find('\n'), status.size());
    const std::string_view line = status.substr(0, end);
    if (line.starts_with(name)) return line.substr(name.size());
    status.remove_prefix(std::min(end + 1, status.size()));
  }
  return {};
}

// The kernel's tty_nr; only pseudo-terminals have names worth showing.
std::string tty_name(uint32_t device) {
  const uint32_t major = device >> 8U & 0xfffU;
  const uint32_t minor = (device & 0xffU) | (device >> 12U & 0xfff00U);
  constexpr uint32_t kFirstPts = 136;
  constexpr uint32_t kLastPts = 143;
  if (major < kFirstPts || major > kLastPts) return "";
  return "pts/" + std::to_string((major - kFirstPts) * 256 + minor);
}

std::string command_of(std::string_view command_line, std::string_view name) {
  command_line = command_line.substr(0, kMostCommand);
  while (command_line.ends_with('\0')) command_line.remove_suffix(1);
  if (command_line.empty()) return "[" + common::escape(name) + "]";
  std::string text(command_line);
  std::replace(text.begin(), text.end(), '\0', ' ');
  text = common::escape(text);
  text.resize(std::min(text.size(), kMostCommand));
  return text;
}

uint64_t ticks_to_ms(uint64_t ticks) {
  return ticks * 1000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
}

bool in_group(std::string_view cgroup, std::string_view group) {
  const std::string_view path = field(cgroup, "0::");
  if (!path.starts_with(group)) return false;
  return path.size() == group.size() || path[group.size()] == '/';
}

common::Result<std::vector<uint32_t>> all_pids(const std::string& proc) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(proc.c_str()), ::closedir);
  if (!directory) return common::errno_error("open", proc);
  std::vector<uint32_t> pids;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (const auto pid = to_number<uint32_t>(entry->d_name)) pids.push_back(*pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

// A file of a process that may have gone: nothing then.
std::string text_of(const std::string& path, size_t limit) {
  std::string text(limit, '\0');
  const common::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  size_t size = 0;
  while (fd && size < limit) {
    const ssize_t n = ::read(fd.get(), text.data() + size, limit - size);
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::optional<Process> describe_process(std::string_view stat, std::string_view status,
                                        std::string_view command_line) {
  // The name may hold anything, parentheses too: it ends at the last one.
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return std::nullopt;
  }
  const auto rest = words(stat.substr(close + 1));
  constexpr size_t kFields = 22;  // from the state (3) to rss (24)
  if (rest.size() < kFields || words(field(status, "NSpid:")).size() < 2) return std::nullopt;
  const auto number = [&rest](size_t field_of_stat) {
    return to_number<uint64_t>(rest[field_of_stat - 3]).value_or(0);
  };
  const auto uids = words(field(status, "Uid:"));
  Process process;
  process.set_pid(to_number<uint32_t>(words(stat.substr(0, open)).at(0)).value_or(0));
  process.set_parent(static_cast<uint32_t>(number(4)));
  process.set_uid(uids.empty() ? 0 : to_number<uint32_t>(uids[0]).value_or(0));
  process.set_state(std::string(rest[0].substr(0, 1)));
  process.set_cpu_ms(ticks_to_ms(number(14) + number(15)));
  process.set_started_ms(ticks_to_ms(number(22)));
  process.set_rss(number(24) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
  process.set_tty(tty_name(static_cast<uint32_t>(number(7))));
  process.set_command(command_of(command_line, stat.substr(open + 1, close - open - 1)));
  if (process.pid() == 0) return std::nullopt;
  return process;
}

common::Result<Processes> list_processes(const std::string& proc, std::string_view group) {
  ASSIGN_OR_RETURN(const auto pids, all_pids(proc));
  Processes out;
  std::set<uint32_t> known;
  size_t commands = 0;
  for (const uint32_t pid : pids) {
    const std::string directory = proc + "/" + std::to_string(pid);
    if (!in_group(text_of(directory + "/cgroup", kMaxText), group)) continue;
    const std::string line =
        commands < kMostCommands ? text_of(directory + "/cmdline", kMostCommand) : "";
    auto process = describe_process(text_of(directory + "/stat", kMaxText),
                                    text_of(directory + "/status", kMaxText), line);
    if (!process || static_cast<size_t>(out.process_size()) == kMostProcesses) continue;
    commands += process->command().size();
    known.insert(pid);
    *out.add_process() = std::move(*process);
  }
  // A parent outside is the agent, which is nobody's business.
  for (auto& process : *out.mutable_process()) {
    if (!known.contains(process.parent())) process.set_parent(0);
  }
  return out;
}

void process_list_main() {
  ::alarm(kTimeLimitS);
  int failed = 0;
  try {
    auto list = list_processes("/proc", "/container");
    if (list.has_value()) list->set_now_ms(now_ms());
    if (list.has_error()) {
      failed = list.error().code.value();
    } else if (const auto written =
                   common::write_all(kProcessListFd, list->SerializeAsString(), "process list");
               written.has_error()) {
      failed = written.error().code.value();
    }
  } catch (const std::exception&) {
    failed = ENOMEM;
  }
  ::_exit(failed);
}

}  // namespace tether
