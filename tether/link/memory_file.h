// Memory files by their descriptors: the link process has no /proc, and no other way to a file.
#pragma once

#include <string.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "common/result.h"

namespace tether {

// From its beginning, wherever the last reader of the same description left off; EFBIG beyond
// `limit`. Leaves nothing on the stack.
inline common::Result<std::string> read_memory_file(int fd, size_t limit, const char* name) {
  std::string out;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t n = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(out.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return common::errno_error("read", name);
    if (n == 0) break;
    out.append(piece.data(), static_cast<size_t>(n));
    if (out.size() > limit) return common::make_error(EFBIG, "read", name);
  }
  ::explicit_bzero(piece.data(), piece.size());
  return out;
}

}  // namespace tether
