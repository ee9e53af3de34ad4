#include "vch/machine/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>

#include "common/scope_guard.h"
#include "common/unique_fd.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr size_t kMaxOutput = 64U << 10U;

constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kPackages = {{
    {"qemu-system-x86_64", "qemu-system-x86"},
    {"mke2fs", "e2fsprogs"},
    {"debugfs", "e2fsprogs"},
    {"e2fsck", "e2fsprogs"},
    {"mkfs.erofs", "erofs-utils"},
    {"unsquashfs", "squashfs-tools"},
    {"fakeroot", "fakeroot"},
    {"skopeo", "skopeo"},
    {"ssh", "openssh-client"},
    {"ssh-keygen", "openssh-client"},
    {"xorriso", "xorriso"},
}};

std::string package_of(std::string_view name) {
  for (const auto& [program, package] : kPackages) {
    if (program == name) return std::string(package);
  }
  return std::string(name);
}

Result<int> spawn(const std::vector<std::string>& argv, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const common::ScopeGuard free_actions(
      [&actions] { ::posix_spawn_file_actions_destroy(&actions); });
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  const common::ScopeGuard free_attributes(
      [&attributes] { ::posix_spawnattr_destroy(&attributes); });
  sigset_t all;
  sigset_t none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int pid = -1;
  const int error =
      ::posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, words.data(), environ);
  if (error != 0) return make_error(error, "run", argv[0]);
  return pid;
}

// Takes what is there. False at the end, or when there is nothing more for now.
bool take_output(int fd, std::string& output) {
  std::array<char, 4096> chunk{};
  const ssize_t n = ::read(fd, chunk.data(), chunk.size());
  if (n <= 0) return n < 0 && errno == EINTR;
  output.append(chunk.data(), std::min(static_cast<size_t>(n), kMaxOutput - output.size()));
  return true;
}

// Until the process behind `process` has ended, or the deadline. False: the deadline.
bool wait_for_end(int process, UniqueFd& pipe, std::string& output, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> waiting = {{{process, POLLIN, 0}, {pipe.get(), POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(left)) <= 0) continue;
    // Output before the end: what it said last is what matters.
    if (waiting[1].revents != 0 && !take_output(pipe.get(), output)) pipe.reset();
    if (waiting[0].revents != 0) return true;
  }
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  const char* path = ::getenv("PATH");
  const std::string places =
      (path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : std::string(path)) +
      ":/usr/local/sbin:/usr/sbin:/sbin";
  for (size_t begin = 0; begin < places.size();) {
    const size_t end = std::min(places.find(':', begin), places.size());
    const std::string candidate = places.substr(begin, end - begin) + "/" + name;
    if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return make_error(ENOENT, "find the program", name,
                    "not in PATH; install the package " + package_of(name));
}

Result<ProgramEnd> run_program(const std::vector<std::string>& argv, int timeout_ms) {
  return run_child([&argv](int output) { return spawn(argv, output); }, timeout_ms);
}

Result<ProgramEnd> run_child(const std::function<Result<int>(int output)>& start, int timeout_ms) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  if (::fcntl(reading.get(), F_SETFL, O_NONBLOCK) != 0) return errno_error("pipe");
  ASSIGN_OR_RETURN(const int pid, start(writing.get()));
  writing.reset();
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ProgramEnd end;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  if (!process || !wait_for_end(process.get(), reading, end.output, deadline)) {
    end.timed_out = true;
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (reading) {
    while (take_output(reading.get(), end.output)) {
    }
  }
  end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return end;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

}  // namespace vch
