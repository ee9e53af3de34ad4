#include "vch/machine/lock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/io.h"

namespace vch {
namespace {

using common::Result;
using common::UniqueFd;

constexpr unsigned kMode = 0600;
constexpr size_t kMaxFdInfo = 64U << 10U;

struct flock whole_file(LockKind kind) {
  struct flock lock {};
  lock.l_type = kind == LockKind::kExclusive ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

Result<UniqueFd> lock_file(const std::string& path, LockKind kind, int command) {
  ASSIGN_OR_RETURN(UniqueFd fd, common::open_file(path, O_RDWR | O_CREAT, kMode));
  struct flock lock = whole_file(kind);
  while (::fcntl(fd.get(), command, &lock) != 0) {
    if (errno == EINTR) continue;
    // The kernel may say either; callers know one.
    if (errno == EACCES) errno = EWOULDBLOCK;
    return common::errno_error("lock", path);
  }
  return fd;
}

// Or nothing is. A migration puts another directory in the place of one before it gives its lock
// up; who had opened that one would hear from it that nobody has it.
bool is_at(const std::string& path, const UniqueFd& fd) {
  struct stat now {
  }, opened{};
  if (::stat(path.c_str(), &now) != 0 || ::fstat(fd.get(), &opened) != 0) return true;
  return now.st_dev == opened.st_dev && now.st_ino == opened.st_ino;
}

}  // namespace

Result<UniqueFd> take_lock(const std::string& path, LockKind kind) {
  return lock_file(path, kind, F_OFD_SETLK);
}

Result<UniqueFd> wait_for_lock(const std::string& path) {
  return lock_file(path, LockKind::kExclusive, F_OFD_SETLKW);
}

bool is_locked(const std::string& path) {
  for (;;) {
    const auto fd = common::open_file(path, O_RDONLY);
    if (fd.has_error()) return false;
    // Asking for an exclusive lock finds shared holders too.
    struct flock lock = whole_file(LockKind::kExclusive);
    if (::fcntl(fd->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) return true;
    if (is_at(path, *fd)) return false;
  }
}

bool holds_lock(int pid, const std::string& path) {
  struct stat wanted {};
  if (::stat(path.c_str(), &wanted) != 0) return false;
  const std::string process = "/proc/" + std::to_string(pid);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(process + "/fd", ignored)) {
    struct stat found {};
    if (::stat(entry.path().c_str(), &found) != 0) continue;
    if (found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino) continue;
    // Others may have the file open to ask about the lock; fdinfo tells who has it.
    const auto info =
        common::read_file(process + "/fdinfo/" + entry.path().filename().string(), kMaxFdInfo);
    if (info.has_value() && info->find("OFDLCK") != std::string::npos) return true;
  }
  return false;
}

}  // namespace vch
