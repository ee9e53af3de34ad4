#include "tether/supervisor/system.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "tether/supervisor/clock.h"
#include "tether/supervisor/group_tree.h"

namespace tether {
namespace {

uint64_t pss_kib(pid_t pid) {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/smaps_rollup", pid);
  const common::UniqueFd fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 2048> text{};
  const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  if (n <= 0) return 0;
  const std::string_view rollup(text.data(), static_cast<size_t>(n));
  constexpr std::string_view kField = "\nPss:";
  const size_t field = rollup.find(kField);
  if (field == std::string_view::npos) return 0;
  const size_t digits = rollup.find_first_not_of(' ', field + kField.size());
  uint64_t kib = 0;
  if (digits != std::string_view::npos) std::from_chars(&rollup[digits], &rollup.back(), kib);
  return kib;
}

// opendir() would allocate.
uint32_t open_descriptors(pid_t pid) {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/fd", pid);
  const common::UniqueFd fd(::open(path.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return 0;
  constexpr size_t kLengthAt = 16;  // of an entry: number, offset, length, type, name
  constexpr size_t kNameAt = 19;
  std::array<char, 2048> entries{};
  uint32_t count = 0;
  for (;;) {
    const long n = ::syscall(SYS_getdents64, fd.get(), entries.data(), entries.size());
    if (n <= 0) break;
    for (size_t at = 0; at + kNameAt < static_cast<size_t>(n);) {
      uint16_t length = 0;
      std::memcpy(&length, &entries[at + kLengthAt], sizeof length);
      if (entries[at + kNameAt] != '.') ++count;
      at += length;
    }
  }
  return pid == ::getpid() && count > 0 ? count - 1 : count;  // this one
}

// How many run or could: behind the third space of /proc/loadavg, proc(5).
int running(std::string_view load) {
  for (int i = 0; i < 3; ++i) load.remove_prefix(std::min(load.find(' '), load.size() - 1) + 1);
  int count = 0;
  std::from_chars(load.begin(), load.end(), count);
  return count;
}

class KernelSystem : public System {
 public:
  pid_t spawn(const char* role, std::span<const FdSlot> fds, int cgroup) override {
    return spawn_role(role, fds, cgroup);
  }
  pid_t reap(int& status) override {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    return pid > 0 ? pid : 0;
  }
  bool is_child(pid_t pid) override {
    siginfo_t nothing{};
    constexpr int kHow = WEXITED | WNOHANG | WNOWAIT | __WALL;
    return pid > 0 && ::waitid(P_PID, static_cast<id_t>(pid), &nothing, kHow) == 0;
  }
  void signal(pid_t pid, int number) override { ::kill(pid, number); }
  common::UniqueFd open_pidfd(pid_t pid) override {
    return common::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
  int write_group(int directory, const char* file, std::string_view text) override {
    const common::UniqueFd fd(::openat(directory, file, O_WRONLY | O_CLOEXEC));
    if (!fd) return errno;
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0) return errno;
    return static_cast<size_t>(n) == text.size() ? 0 : EIO;
  }
  void clear_group(int directory) override { clear_group_tree(directory); }
  bool frozen(int directory) override {
    const common::UniqueFd fd(::openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC));
    std::array<char, 128> text{};
    const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    if (n <= 0) return false;
    const std::string_view events(text.data(), static_cast<size_t>(n));
    return events.find("frozen 1") != std::string_view::npos;
  }
  ProcessUse use_of(pid_t pid) override { return {pss_kib(pid), open_descriptors(pid)}; }
  void set_batch(pid_t pid, bool wanted) override {
    const sched_param none{};
    ::sched_setscheduler(pid, (wanted ? SCHED_BATCH : SCHED_OTHER) | SCHED_RESET_ON_FORK, &none);
  }
  bool busy() override {
    if (!load_) load_.reset(::open("/proc/loadavg", O_RDONLY | O_CLOEXEC));
    std::array<char, 64> text{};
    if (!load_ || ::pread(load_.get(), text.data(), text.size(), 0) <= 0) return false;
    cpu_set_t processors;
    if (::sched_getaffinity(0, sizeof processors, &processors) != 0) return false;
    return running({text.data(), text.size()}) > CPU_COUNT(&processors);
  }
  uint64_t now_ms() override { return tether::now_ms(); }

 private:
  common::UniqueFd load_;
};

}  // namespace

System& kernel_system() {
  static KernelSystem system;
  return system;
}

}  // namespace tether
