// Attempts that go on until their process is killed.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "escape.h"

namespace escape {
namespace {

// Says how many there were, and holds them until it is killed.
[[noreturn]] void hold(size_t count, int error) {
  const std::string said = std::to_string(count) + " " + error_name(error) + "\n";
  (void)!::write(STDOUT_FILENO, said.data(), said.size());
  for (;;) ::pause();
}

std::string processes() {
  size_t count = 0;
  for (;; ++count) {
    const pid_t pid = ::fork();
    if (pid < 0) hold(count, errno);
    if (pid == 0) {
      for (;;) ::pause();
    }
  }
}

std::string descriptors() {
  constexpr size_t kMost = 30000;  // more than a machine of 256 MiB has by itself
  size_t count = 0;
  int error = 0;
  while (count < kMost && error == 0) {
    // A process may have only so many.
    int fd = 0;
    while (count < kMost && (fd = ::open("/dev/null", O_RDONLY)) >= 0) ++count;
    error = errno;
    if (error != EMFILE) break;
    const pid_t pid = ::fork();
    if (pid != 0) {
      if (pid < 0) error = errno;
      if (pid < 0) break;
      for (;;) ::pause();
    }
    for (int own = 3; own < 1100000; ++own) {
      if (::close(own) != 0 && errno == EBADF && own > 1100) break;
    }
    error = 0;
  }
  hold(count, error);
}

std::string randomness() {
  std::array<char, 4096> bytes;
  for (;;) (void)!::syscall(SYS_getrandom, bytes.data(), bytes.size(), 2);
}

constexpr Attempt kAttempts[] = {
    {"processes", processes},
    {"descriptors", descriptors},
    {"randomness", randomness},
};

}  // namespace

std::span<const Attempt> exhausting_attempts() { return kAttempts; }

}  // namespace escape
