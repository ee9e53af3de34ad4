#include "vch/migration/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::UniqueFd;

[[noreturn]] void guard(const UniqueFd& alive, const std::function<void()>& succeed) {
  ::setsid();
  // Whoever reads what the parent says must not wait for us.
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  }
  char word = 0;
  ssize_t size = 0;
  do {
    size = ::read(alive.get(), &word, 1);
  } while (size < 0 && errno == EINTR);
  if (size == 0) succeed();
  ::_exit(0);
}

}  // namespace

Result<Guardian> Guardian::start(const std::function<void()>& succeed) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  UniqueFd reading(ends[0]), writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork", "guardian");
  if (child == 0) {
    writing.reset();
    guard(reading, succeed);
  }
  return Guardian(std::move(writing), child);
}

void Guardian::dismiss() {
  [[maybe_unused]] const ssize_t written = ::write(alive_.get(), "!", 1);
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace vch
