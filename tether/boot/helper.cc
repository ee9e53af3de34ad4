#include "tether/boot/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>

#include "tether/supervisor/clock.h"

namespace tether {
namespace {

// What the child says before it exits; nothing when all went well. Fits into one atomic write.
struct Report {
  uint16_t stage = 0;
  int32_t errno_value = 0;
  std::array<char, 64> operation{};
  std::array<char, 512> object{};
  std::array<char, 512> detail{};
};

template <size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

void report(int fd, const StageError& error) {
  Report out;
  out.stage = static_cast<uint16_t>(error.stage);
  out.errno_value = error.error.code.value();
  copy_text(out.operation, error.error.operation);
  copy_text(out.object, error.error.object);
  copy_text(out.detail, error.error.detail);
  (void)!::write(fd, &out, sizeof out);
}

[[noreturn]] void run_child(int fd, protocol::Stage stage, const char* what,
                            const std::function<StageResult<void>()>& work) {
  try {
    if (const auto done = work(); done.has_error()) report(fd, done.error());
  } catch (const std::exception& escaped) {
    report(fd, {stage, common::make_error(EIO, "run", what, escaped.what())});
  }
  ::_exit(0);
}

// 0, or the errno of a wait that was not ended by a report or by the child's end.
int wait_for(int fd, uint64_t deadline_ms) {
  for (;;) {
    const uint64_t now = now_ms();
    if (now >= deadline_ms) return ETIMEDOUT;
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(deadline_ms - now));
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

}  // namespace

StageResult<void> run_helper(protocol::Stage stage, const char* what, int timeout_ms,
                             const std::function<StageResult<void>()>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return StageError{stage, common::errno_error("pipe", what)};
  const common::UniqueFd from_child(ends[0]);
  common::UniqueFd to_parent(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return StageError{stage, common::errno_error("fork", what)};
  if (pid == 0) run_child(to_parent.get(), stage, what, work);
  to_parent.reset();
  const int waited = wait_for(from_child.get(), now_ms() + static_cast<uint64_t>(timeout_ms));
  if (waited != 0) ::kill(pid, SIGKILL);
  Report said;
  const ssize_t size = waited == 0 ? ::read(from_child.get(), &said, sizeof said) : 0;
  // Whoever is stuck in the kernel cannot be waited for.
  int status = 0;
  while (::waitpid(pid, &status, waited == ETIMEDOUT ? WNOHANG : 0) < 0 && errno == EINTR) {
  }
  if (waited != 0) {
    return StageError{
        stage, common::make_error(waited, "wait for", what, std::to_string(timeout_ms) + " ms")};
  }
  if (size == sizeof said) {
    return StageError{static_cast<protocol::Stage>(said.stage),
                      common::make_error(said.errno_value, said.operation.data(),
                                         said.object.data(), said.detail.data())};
  }
  if (WIFSIGNALED(status)) {
    return StageError{
        stage, common::make_error(EIO, "run", what, "signal " + std::to_string(WTERMSIG(status)))};
  }
  return {};
}

}  // namespace tether
