// A process that PID 1 has just launched, caught before its first step: it still holds what the
// agent's launcher had, and by it one can say to PID 1 whatever one likes.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <sstream>
#include <vector>

#include "escape.h"

namespace escape {
namespace {

constexpr const char* kTrap = "/sys/fs/cgroup/trap";
constexpr int kHighest = 128;

void say(const std::string& text) { (void)!::write(STDOUT_FILENO, text.data(), text.size()); }

std::string trap(const char* file, const char* value) {
  return try_write(std::string(kTrap) + file, value);
}

// Who lands in our group beside process 1.
pid_t wait_for_catch() {
  for (;;) {
    std::istringstream lines(content_of(std::string(kTrap) + "/cgroup.procs"));
    for (pid_t pid = 0; lines >> pid;) {
      if (pid > 1) return pid;
    }
    ::usleep(1000);
  }
}

std::vector<int> descriptors_of(pid_t pid) {
  std::vector<int> out;
  const long process = ::syscall(SYS_pidfd_open, pid, 0);
  for (int fd = 3; fd < kHighest; ++fd) {
    const long got = ::syscall(SYS_pidfd_getfd, process, fd, 0);
    if (got < 0) continue;
    struct stat about {};
    const bool speaks = ::fstat(static_cast<int>(got), &about) == 0 &&
                        (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
    if (speaks) out.push_back(static_cast<int>(got));
  }
  return out;
}

// Reports of a start or a failure (tether/session/launch.h), and process 1's number.
[[noreturn]] void flood(const std::vector<int>& fds) {
  ::signal(SIGPIPE, SIG_IGN);
  for (const int fd : fds) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  std::array<uint32_t, 64> report{};
  for (uint32_t round = 0;; ++round) {
    report[0] = round % 2 == 0 ? 1 : 3;
    report[3] = 1;
    for (const int fd : fds) (void)!::write(fd, report.data(), sizeof report);
  }
}

std::string caught_at_launch() {
  if (::mkdir(kTrap, 0755) != 0) return "mkdir " + error_name(errno);
  if (const auto moved = trap("/cgroup.procs", "1"); moved != "ok") return "move " + moved;
  if (const auto frozen = trap("/cgroup.freeze", "1"); frozen != "ok") return "freeze " + frozen;
  say("frozen\n");
  const auto fds = descriptors_of(wait_for_catch());
  const pid_t child = ::fork();
  if (child == 0) flood(fds);
  say(fds.empty() ? "nothing caught\n" : "caught\n");
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) continue;  // until we are told to end
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto thawed = trap("/cgroup.freeze", "0");
  (void)try_write("/sys/fs/cgroup/cgroup.procs", "1");
  return "thawed " + thawed + "\n";
}

constexpr Attempt kAttempts[] = {{"caught_at_launch", caught_at_launch}};

}  // namespace

std::span<const Attempt> launching_attempts() { return kAttempts; }

}  // namespace escape
