#include "raw_port.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <charconv>

#include "common/io.h"
#include "pattern.h"

namespace serial_transport {
namespace {

constexpr size_t kChunk = 32 * 1024;  // what the endpoint gives and takes at once, too

common::Status wait_for(int fd, short events) {
  pollfd state{fd, events, 0};
  if (::poll(&state, 1, -1) < 0 && errno != EINTR) return common::errno_error("poll", "raw link");
  return {};
}

common::Status send_pattern(int fd, uint64_t bytes) {
  const Pattern pattern;
  for (uint64_t at = 0; at < bytes;) {
    const auto piece = pattern.at(at, std::min<uint64_t>(kChunk, bytes - at));
    const ssize_t n = ::write(fd, piece.data(), piece.size());
    if (n > 0) {
      at += static_cast<uint64_t>(n);
    } else if (n == 0 || errno == EAGAIN) {
      RETURN_IF_ERROR(wait_for(fd, POLLOUT));
    } else if (errno != EINTR) {
      return common::errno_error("write", "raw link");
    }
  }
  return {};
}

common::Status take_bytes(int fd, uint64_t bytes) {
  std::vector<std::byte> buffer(kChunk);
  for (uint64_t at = 0; at < bytes;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n > 0) {
      at += static_cast<uint64_t>(n);
    } else if (n == 0 || errno == EAGAIN) {
      RETURN_IF_ERROR(wait_for(fd, POLLIN));
    } else if (errno != EINTR) {
      return common::errno_error("read", "raw link");
    }
  }
  return {};
}

common::Status run_raw(const std::string& name, RawTask task, uint64_t bytes, int report) {
  ASSIGN_OR_RETURN(const Link link, named_link(name)());
  RETURN_IF_ERROR(common::write_all(report, "ready\n", "pipe"));
  return task == RawTask::kSend ? send_pattern(link.fd.get(), bytes)
                                : take_bytes(link.fd.get(), bytes);
}

}  // namespace

LinkOpener named_link(const std::string& name) {
  const size_t first = name.find(':');
  const std::string kind = name.substr(0, first);
  std::string device = first == std::string::npos ? "" : name.substr(first + 1);
  if (kind == "port") return virtio_port_link(device);
  unsigned speed = 115200;
  if (const size_t second = device.find(':'); second != std::string::npos) {
    const char* end = device.data() + device.size();
    (void)std::from_chars(device.data() + second + 1, end, speed);
    device.resize(second);
  }
  return uart_link(device, speed);
}

common::Result<common::UniqueFd> start_raw(const std::string& link, RawTask task, uint64_t bytes) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return common::errno_error("make", "pipe");
  common::UniqueFd reader(ends[0]);
  const common::UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return common::errno_error("fork", "raw process");
  if (child > 0) return reader;
  const common::Status status = run_raw(link, task, bytes, writer.get());
  const std::string text = status.has_error() ? status.error().message() + "\n" : "done\n";
  (void)common::write_all(writer.get(), text, "pipe");
  ::_exit(0);
}

}  // namespace serial_transport
