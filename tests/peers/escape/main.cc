// Run in a container: `escape NAME` tries one thing, `escape` everything that ends by itself. A
// line each: the name, a blank, and what came of it. Each attempt has a process of its own and 20
// s.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "escape.h"

namespace {

using escape::Attempt;

constexpr int kTimeoutMs = 20000;

std::string outcome(const Attempt& attempt) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t pid = ::fork();
  if (pid < 0) return "no process";
  if (pid == 0) {
    ::close(ends[0]);
    const std::string said = attempt.make();
    (void)!::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 4096> bytes;
  pollfd waiting{ends[0], POLLIN, 0};
  while (::poll(&waiting, 1, kTimeoutMs) > 0) {
    const ssize_t n = ::read(ends[0], bytes.data(), bytes.size());
    if (n <= 0) break;
    said.append(bytes.data(), static_cast<size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  if (said.empty() && ::waitpid(pid, &status, WNOHANG) == 0) {
    ::usleep(200000);
    if (::waitpid(pid, &status, WNOHANG) == 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      return "hangs";
    }
  } else if (!said.empty()) {
    ::waitpid(pid, &status, 0);
  }
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return said.empty() ? "nothing said" : said;
}

}  // namespace

int main(int argc, char** argv) {
  // As the kernel starts it, with our word or a path of its own; and who looks for what that left.
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  if (wanted == "helper" || wanted.starts_with("/")) return escape::leave_trace() ? 0 : 1;
  if (wanted == "trace") return escape::has_trace() ? 0 : 1;
  const std::span<const Attempt> all[] = {escape::secret_attempts(),  escape::device_attempts(),
                                          escape::process_attempts(), escape::namespace_attempts(),
                                          escape::kernel_attempts(),  escape::group_attempts()};
  const auto try_all = [&](std::span<const Attempt> attempts) {
    bool found = false;
    for (const Attempt& attempt : attempts) {
      if (!wanted.empty() && wanted != attempt.name) continue;
      found = true;
      std::printf("%s %s\n", attempt.name, outcome(attempt).c_str());
      std::fflush(stdout);
    }
    return found;
  };
  bool found = false;
  for (const auto attempts : all) found = try_all(attempts) || found;
  if (!wanted.empty()) found = try_all(escape::exhausting_attempts()) || found;
  if (!wanted.empty()) found = try_all(escape::launching_attempts()) || found;
  return found ? 0 : 2;
}
