#include "vch/shim/start_shim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "common/io.h"
#include "vch/machine/lock.h"
#include "vch/shim/shim.h"
#include "vch/shim/unix_socket.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kMaxStarts = 5;  // in a row, none of which came to listen
constexpr long kLongestWaitNs = 16000000;
constexpr size_t kMaxLogLine = 512;

// Everything that the child needs, made before the fork: between fork and exec nothing allocates.
struct ChildPlan {
  std::string program, directory;
  UniqueFd null, log;
};

[[noreturn]] void be_shim(ChildPlan& plan, int ready) {
  std::array<char, 5> command = {"shim"};
  const std::array<char*, 4> argv = {plan.program.data(), command.data(), plan.directory.data(),
                                     nullptr};
  ::dup2(plan.null.get(), STDIN_FILENO);
  ::dup2(ready, STDOUT_FILENO);
  ::dup2(plan.log.get(), STDERR_FILENO);
  ::close_range(3, ~0U, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir("/") == 0) ::execv(argv[0], argv.data());
  const int error = errno;
  for (const char* part :
       {"vch shim: execute ", plan.program.c_str(), ": ", ::strerrordesc_np(error), "\n"}) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  ::_exit(1);
}

Result<ChildPlan> make_plan(const Container& container, const std::string& program) {
  ChildPlan plan;
  std::error_code error;
  plan.program = std::filesystem::absolute(program, error);
  plan.directory = std::filesystem::absolute(container.directory, error);
  if (error) return common::Error{error, "find", program, {}};
  ASSIGN_OR_RETURN(plan.null, common::open_file("/dev/null", O_RDWR));
  ASSIGN_OR_RETURN(
      plan.log, common::open_file(container.file("shim.log"), O_WRONLY | O_CREAT | O_APPEND, 0600));
  return plan;
}

// The shim is nobody's child: an intermediate starts it and is waited for.
Status fork_shim(ChildPlan& plan, const UniqueFd& ready) {
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork", "shim");
  if (child == 0) {
    ::setsid();
    const pid_t shim = ::fork();
    if (shim == 0) be_shim(plan, ready.get());
    ::_exit(shim < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return make_error(EAGAIN, "fork", "shim", "too many processes");
  return {};
}

// The shim closes its stdout once it listens; so does its end.
Status wait_for_end_of(const UniqueFd& ready) {
  pollfd waiting{ready.get(), POLLIN, 0};
  std::array<char, 256> ignored;
  for (;;) {
    if (::poll(&waiting, 1, -1) < 0) return errno_error("wait for", "shim");
    if (::read(ready.get(), ignored.data(), ignored.size()) <= 0) return {};
  }
}

Status start_shim(const Container& container, const std::string& program) {
  ASSIGN_OR_RETURN(ChildPlan plan, make_plan(container, program));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  RETURN_IF_ERROR(fork_shim(plan, write_end));
  write_end.reset();
  return wait_for_end_of(read_end);
}

off_t log_size(const Container& container) {
  struct stat status {};
  return ::stat(container.file("shim.log").c_str(), &status) == 0 ? status.st_size : 0;
}

common::Error why_not(const Container& container, off_t log_start) {
  const std::string path = container.file("shim.log");
  std::array<char, kMaxLogLine> line{};
  ssize_t size = 0;
  if (const auto log = common::open_file(path, O_RDONLY); log.has_value()) {
    size = ::pread(log->get(), line.data(), line.size(), log_start);
  }
  std::string text(line.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  text.resize(std::min(text.find('\n'), text.size()));
  if (text.empty()) text = "it said nothing in " + path;
  return make_error(0, "start shim for", container.spec.name, text);
}

// Another's shim comes up, or ours leaves: nobody tells when, so ask again soon.
Status wait_a_little(long& wait_ns) {
  const timespec time{0, wait_ns};
  wait_ns = std::min(wait_ns * 2, kLongestWaitNs);
  if (::nanosleep(&time, nullptr) != 0) return errno_error("wait for", "shim");
  return {};
}

Status make_blocking(const UniqueFd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) {
    return errno_error("set mode of", "shim.sock");
  }
  return {};
}

}  // namespace

Result<UniqueFd> connect_shim(const Container& container, const std::string& program) {
  const off_t log_start = log_size(container);
  long wait_ns = 1000000;
  for (int starts = 0;;) {
    // Each time anew: a migration puts another in its place.
    ASSIGN_OR_RETURN(const UniqueFd directory, open_directory(container.directory));
    if (auto fd = connect_in(directory, "shim.sock"); fd.has_value()) {
      RETURN_IF_ERROR(make_blocking(*fd));
      return fd;
    }
    if (!is_locked(container.file("machine.lock"))) {
      return make_error(ENOTCONN, "connect to", container.spec.name, "its machine does not run");
    }
    if (is_locked(container.file("shim.lock"))) {
      RETURN_IF_ERROR(wait_a_little(wait_ns));
    } else if (starts++ == kMaxStarts) {
      return why_not(container, log_start);
    } else {
      RETURN_IF_ERROR(start_shim(container, program));
    }
  }
}

Status ensure_shim(const Container& container, const std::string& program) {
  ASSIGN_OR_RETURN(const UniqueFd probe, connect_shim(container, program));
  return {};
}

std::optional<int> shim_pid(const Container& container) {
  const std::string path = container.file("shim.lock");
  if (!is_locked(path)) return std::nullopt;
  const auto text = common::read_file(path, 64);
  if (text.has_error()) return std::nullopt;
  const int pid = std::atoi(text->c_str());
  return pid > 0 ? std::optional(pid) : std::nullopt;
}

}  // namespace vch
