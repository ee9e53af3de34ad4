// Attempts that go on until their process is killed, and those that end the container.
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "escape.h"

namespace escape {
namespace {

std::string reboot_call(unsigned command) {
  return try_call(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, 0);
}
std::string restart() { return reboot_call(LINUX_REBOOT_CMD_RESTART); }
std::string power_off() { return reboot_call(LINUX_REBOOT_CMD_POWER_OFF); }
std::string halt() { return reboot_call(LINUX_REBOOT_CMD_HALT); }

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

std::string inodes() {
  size_t count = 0;
  ::mkdir("/tmp/many", 0755);
  for (;; ++count) {
    const std::string path = "/tmp/many/" + std::to_string(count);
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    if (fd < 0) hold(count, errno);
    ::close(fd);
    if (count == 300000) hold(count, 0);
  }
}

std::string randomness() {
  std::array<char, 4096> bytes;
  for (;;) (void)!::syscall(SYS_getrandom, bytes.data(), bytes.size(), 2);
}

constexpr Attempt kAttempts[] = {
    {"restart", restart},       {"power_off", power_off},     {"halt", halt},
    {"processes", processes},   {"descriptors", descriptors}, {"inodes", inodes},
    {"randomness", randomness},
};

}  // namespace

std::span<const Attempt> exhausting_attempts() { return kAttempts; }

}  // namespace escape
