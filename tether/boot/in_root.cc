#include "tether/boot/in_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/io.h"

namespace tether {

common::Result<common::UniqueFd> open_in_root(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
  if (fd < 0) return common::errno_error("open", path);
  return common::UniqueFd(static_cast<int>(fd));
}

common::Result<common::UniqueFd> make_directories_in_root(int root, const std::string& path) {
  ASSIGN_OR_RETURN(common::UniqueFd here, open_in_root(root, "/", O_PATH | O_DIRECTORY));
  for (size_t i = 0; i < path.size();) {
    const size_t start = path.find_first_not_of('/', i);
    if (start == std::string::npos) break;
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string so_far = path.substr(0, end);
    auto next = open_in_root(root, so_far, O_PATH | O_DIRECTORY);
    if (next.has_error() && next.error().code.value() == ENOENT) {
      const std::string name = path.substr(start, end - start);
      if (::mkdirat(here.get(), name.c_str(), 0755) != 0) {
        return common::errno_error("make directory", so_far);
      }
      next = open_in_root(root, so_far, O_PATH | O_DIRECTORY);
    }
    if (next.has_error()) return next.error();
    here = std::move(*next);
    i = end;
  }
  return here;
}

common::Result<std::string> read_in_root(int root, const std::string& path, size_t limit) {
  // Without O_NONBLOCK a FIFO would hold us.
  ASSIGN_OR_RETURN(const common::UniqueFd fd,
                   open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return common::errno_error("stat", path);
  if (!S_ISREG(about.st_mode)) {
    return common::make_error(EINVAL, "read", path, "not a regular file");
  }
  // From this descriptor itself: where the caller is there may be no /proc to open it again.
  std::string content;
  char piece[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return common::errno_error("read", path);
    if (n == 0) break;
    content.append(piece, static_cast<size_t>(n));
    if (content.size() > limit) {
      return common::make_error(EFBIG, "read", path, "at most " + std::to_string(limit) + " bytes");
    }
  }
  return content;
}

common::Status replace_in_root(int root, const std::string& directory, const std::string& name,
                               std::string_view content) {
  const std::string path = directory + "/" + name;
  ASSIGN_OR_RETURN(const common::UniqueFd place, make_directories_in_root(root, directory));
  const std::string temporary = ".tether." + name;
  ::unlinkat(place.get(), temporary.c_str(), 0);
  const common::UniqueFd fd(::openat(place.get(), temporary.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd) return common::errno_error("create", path);
  RETURN_IF_ERROR(common::write_all(fd.get(), content, path));
  if (::fchmod(fd.get(), 0644) != 0) return common::errno_error("chmod", path);
  if (::renameat(place.get(), temporary.c_str(), place.get(), name.c_str()) != 0) {
    return common::errno_error("replace", path);
  }
  return {};
}

}  // namespace tether
