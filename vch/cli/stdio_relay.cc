#include "vch/cli/stdio_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "common/io.h"

namespace vch {
namespace {

using common::UniqueFd;

// Until `from` ends or `to` takes no more. Why it does not is for the other side to explain.
void pump(int from, int to) {
  std::array<char, 64 * 1024> bytes;
  for (;;) {
    const ssize_t size = ::read(from, bytes.data(), bytes.size());
    if (size > 0) {
      const std::string_view some(bytes.data(), static_cast<size_t>(size));
      if (common::write_all(to, some, "stream").has_error()) return;
    } else if (size < 0 && errno == EAGAIN) {  // somebody else's O_NONBLOCK
      pollfd waiting{from, POLLIN, 0};
      ::poll(&waiting, 1, -1);
    } else if (size == 0 || errno != EINTR) {
      return;
    }
  }
}

}  // namespace

// A thread each way: poll() does not tell that a write to a terminal, or to a pipe that others
// write to, will not block, nor that others leave a read what there was.
common::Status relay_stdio(int in, int out, const UniqueFd& socket) {
  UniqueFd up(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!up) return common::errno_error("duplicate", "socket");
  std::thread([in, up = std::move(up)] {
    pump(in, up.get());
    ::shutdown(up.get(), SHUT_WR);
  }).detach();
  // The service's end is ours: what still came for it has nowhere to go.
  pump(socket.get(), out);
  return {};
}

}  // namespace vch
