// Small whole-file and whole-buffer helpers. All block; none is for the supervisor's loop.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace common {

// Opens with O_CLOEXEC added. `mode` is used when O_CREAT is in `flags`.
Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode = 0644);

// Reads the whole file; EFBIG when it is larger than `limit` bytes.
Result<std::string> read_file(const std::string& path, size_t limit = size_t{16} << 20U);

// Replaces the file at `path` by write to a temporary beside it, fsync and rename: a reader sees
// the old or the new content, never a part.
Status write_file_atomically(const std::string& path, std::string_view content,
                             unsigned mode = 0644);

// Writes every byte, continuing after EINTR and short writes; waits by poll() on EAGAIN.
Status write_all(int fd, std::string_view bytes, std::string_view object);

// Fills with bytes from getrandom(2).
Status fill_random(std::span<std::byte> out);

std::string to_hex(std::span<const std::byte> bytes);

}  // namespace common
