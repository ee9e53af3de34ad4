// The programs at both ends of what bench.py measures, in one: bytes, and ports with servers.
//
//   session_peer write BLOCK TOTAL     TOTAL bytes to stdout, BLOCK at a time; each block begins
//                                      with its number, eight bytes, little end first
//   session_peer read                  says "ready", then how many bytes there were until EOF
//   session_peer serve|serve-called PORT COMMAND... see commands.h
//   session_peer reap                  waits for children for ever; for a PID 1
//   session_peer dial|borrow SOCKET    see commands.h
#include <endian.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "commands.h"

namespace {

constexpr size_t kReadSize = 128 << 10;

// Some servers hand out descriptors that do not block.
bool retry(int fd, int events) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN) return false;
  pollfd state{fd, static_cast<int16_t>(events), 0};
  ::poll(&state, 1, -1);
  return true;
}

bool write_all(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(STDOUT_FILENO, data, size);
    if (n < 0) {
      if (retry(STDOUT_FILENO, POLLOUT)) continue;
      std::perror("session_peer: stdout");
      return false;
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

int write_blocks(size_t block, uint64_t total) {
  std::vector<char> data(block, 'x');
  uint64_t number = 0;
  for (uint64_t written = 0; written < total; written += block, ++number) {
    const uint64_t stamp = htole64(number);
    std::memcpy(data.data(), &stamp, sizeof stamp);
    if (!write_all(data.data(), block)) return 1;
  }
  return 0;
}

int read_all() {
  constexpr std::string_view kReady = "ready\n";
  if (!write_all(kReady.data(), kReady.size())) return 1;
  std::vector<char> data(kReadSize);
  uint64_t total = 0;
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, data.data(), data.size());
    if (n == 0) break;
    if (n > 0) {
      total += static_cast<uint64_t>(n);
    } else if (!retry(STDIN_FILENO, POLLIN)) {
      std::perror("session_peer: stdin");
      return 1;
    }
  }
  std::printf("%llu\n", static_cast<unsigned long long>(total));
  return 0;
}

int reap() {
  while (true) {
    if (::wait(nullptr) < 0 && errno == ECHILD) ::pause();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "write" && argc == 4) {
    const size_t block = std::strtoull(argv[2], nullptr, 10);
    if (block >= sizeof(uint64_t)) return write_blocks(block, std::strtoull(argv[3], nullptr, 10));
  }
  if (command == "read" && argc == 2) return read_all();
  if (command == "serve" && argc >= 4) {
    return bench::serve(argv[2], bench::Start::kWhenConnected, argv + 3);
  }
  if (command == "serve-called" && argc >= 4) {
    return bench::serve(argv[2], bench::Start::kWhenCalled, argv + 3);
  }
  if (command == "reap" && argc == 2) return reap();
  if (command == "dial" && argc == 3) return bench::dial(argv[2]);
  if (command == "borrow" && argc == 3) return bench::borrow(argv[2]);
  std::fprintf(stderr,
               "usage: session_peer write BLOCK TOTAL | read | serve|serve-called PORT "
               "COMMAND... | reap | dial|borrow SOCKET; a block has at least 8 bytes\n");
  return 2;
}
