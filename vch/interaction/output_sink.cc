#include "vch/interaction/output_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <climits>

#include "common/io.h"

namespace vch {

OutputSink::OutputSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return;  // write_some() says what is wrong with it.
  if (S_ISSOCK(status.st_mode)) {
    kind_ = Kind::kSocket;
  } else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    auto own =
        common::open_file("/proc/self/fd/" + std::to_string(fd), O_WRONLY | O_NONBLOCK | O_NOCTTY);
    if (own.has_value()) {
      own_ = std::move(*own);
    } else if (S_ISFIFO(status.st_mode)) {
      kind_ = Kind::kTimid;
    }
  }
}

common::Result<size_t> OutputSink::write_some(std::string_view bytes) {
  ssize_t size = 0;
  do {
    if (kind_ == Kind::kSocket) {
      size = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (kind_ == Kind::kTimid) {
      pollfd room{fd_, POLLOUT, 0};
      if (::poll(&room, 1, 0) == 0) return size_t{0};
      size = ::write(fd_, bytes.data(), std::min<size_t>(bytes.size(), PIPE_BUF));
    } else {
      size = ::write(fd(), bytes.data(), bytes.size());
    }
  } while (size < 0 && errno == EINTR);
  if (size >= 0) return static_cast<size_t>(size);
  if (errno == EAGAIN) return size_t{0};
  return common::errno_error("write", name_);
}

}  // namespace vch
