#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "commands.h"
#include "common/fd_message.h"
#include "common/unique_fd.h"

namespace bench {
namespace {

constexpr std::array<char, 4> kGreeting{'S', 'S', 'H', '-'};
// For a server to greet; then it has missed that we came, or is slow: we wait longer then.
constexpr int kPatienceMs = 500;
constexpr int kMostPatienceMs = 8000;
constexpr int kTriesOfOnePatience = 4;
constexpr int kGapMs = 50;  // so that the guest notices that we went
constexpr int kTries = 32;

int failed(const char* what) {
  std::fprintf(stderr, "session_peer: %s: %s\n", what, std::strerror(errno));
  return 1;
}

common::UniqueFd connect_to(const char* path) {
  common::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return fd;
}

bool greets(int fd, int patience_ms) {
  pollfd state{fd, POLLIN, 0};
  std::array<char, kGreeting.size()> begin{};
  return ::poll(&state, 1, patience_ms) == 1 &&
         ::recv(fd, begin.data(), begin.size(), MSG_PEEK | MSG_WAITALL) ==
             static_cast<ssize_t>(begin.size()) &&
         begin == kGreeting;
}

int pass(int fd) {
  char byte = 0;
  const iovec part{&byte, 1};
  const ssize_t sent = common::send_fds(STDOUT_FILENO, {&part, 1}, {&fd, 1}, 0);
  return sent == 1 ? 0 : failed("stdout");
}

common::UniqueFd receive(int from) {
  char byte = 0;
  iovec part{&byte, 1};
  common::FdRoom<1> room;
  msghdr message = room.message(part);
  common::UniqueFd fd;
  if (::recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1) common::take_fds(message, {&fd, 1});
  return fd;
}

}  // namespace

int dial(const char* path) {
  int patience_ms = kPatienceMs;
  for (int i = 1; i <= kTries; ++i) {
    common::UniqueFd fd = connect_to(path);
    if (!fd) return failed(path);
    if (greets(fd.get(), patience_ms)) return pass(fd.get());
    fd.reset();
    if (i % kTriesOfOnePatience == 0) patience_ms = std::min(2 * patience_ms, kMostPatienceMs);
    ::poll(nullptr, 0, kGapMs);
  }
  std::fprintf(stderr, "session_peer: %s: no SSH server greets there\n", path);
  return 1;
}

int borrow(const char* path) {
  const common::UniqueFd lender = connect_to(path);
  if (!lender) return failed(path);
  const common::UniqueFd fd = receive(lender.get());
  return fd ? pass(fd.get()) : failed(path);
}

}  // namespace bench
