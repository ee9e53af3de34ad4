#include "common/io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>

namespace common {

Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return errno_error("open", path);
  return UniqueFd(fd);
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  ASSIGN_OR_RETURN(const UniqueFd fd, open_file(path, O_RDONLY));
  std::string content;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("read", path);
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > limit) {
      return make_error(EFBIG, "read", path, "limit is " + std::to_string(limit) + " bytes");
    }
    content.append(buffer, static_cast<size_t>(n));
  }
}

Status write_all(int fd, std::string_view bytes, std::string_view object) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd waiting{fd, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return errno_error("write", std::string(object));
    }
  }
  return {};
}

Status write_file_atomically(const std::string& path, std::string_view content, unsigned mode) {
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return errno_error("create", temporary);
  auto finish = [&]() -> Status {
    RETURN_IF_ERROR(write_all(fd.get(), content, temporary));
    if (::fchmod(fd.get(), mode) != 0) return errno_error("chmod", temporary);
    if (::fsync(fd.get()) != 0) return errno_error("fsync", temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return errno_error("rename", path);
    return {};
  };
  Status status = finish();
  if (status.has_error()) ::unlink(temporary.c_str());
  return status;
}

Status fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("getrandom");
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

std::string to_hex(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    out += kDigits[std::to_integer<unsigned>(b) >> 4U];
    out += kDigits[std::to_integer<unsigned>(b) & 15U];
  }
  return out;
}

}  // namespace common
