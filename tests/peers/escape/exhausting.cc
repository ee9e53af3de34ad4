// Attempts that go on until their process is killed.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
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

// Both hold a pipe of PID 1's for as long as a socket has nothing to give, or takes nothing.
std::string held_output() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return error_name(errno);
  (void)!::write(STDERR_FILENO, "held\n", 5);
  (void)!::write(STDOUT_FILENO, "x", 1);
  for (;;) (void)!::splice(ends[0], nullptr, STDOUT_FILENO, nullptr, 4096, 0);
}

std::string held_input() {
  const int server = ::socket(AF_INET, SOCK_STREAM, 0);
  const int full = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const where = reinterpret_cast<sockaddr*>(&address);
  if (::bind(server, where, size) != 0 || ::listen(server, 1) != 0 ||
      ::getsockname(server, where, &size) != 0 || ::connect(full, where, size) != 0) {
    return error_name(errno);
  }
  std::array<char, 4096> bytes{};
  pollfd room{full, POLLOUT, 0};
  while (::poll(&room, 1, 500) > 0) {
    while (::send(full, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) continue;
  }
  (void)!::write(STDERR_FILENO, "held\n", 5);
  for (;;) (void)!::splice(STDIN_FILENO, nullptr, full, nullptr, 4096, 0);
}

constexpr Attempt kAttempts[] = {
    {"held_output", held_output}, {"held_input", held_input}, {"processes", processes},
    {"descriptors", descriptors}, {"randomness", randomness},
};

}  // namespace

std::span<const Attempt> exhausting_attempts() { return kAttempts; }

}  // namespace escape
