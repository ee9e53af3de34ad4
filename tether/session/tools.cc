#include "tether/session/tools.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "common/io.h"

namespace tether {
namespace {
constexpr const char* kBusybox = "/tools/busybox";  // where the initramfs had it
}  // namespace

common::Result<common::UniqueFd> open_busybox() {
  ASSIGN_OR_RETURN(const common::UniqueFd file, common::open_file(kBusybox, O_RDONLY));
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return common::errno_error("stat", kBusybox);
  common::UniqueFd copy(::memfd_create("busybox", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) return common::errno_error("memfd_create", "busybox");
  for (off_t left = about.st_size; left > 0;) {
    const ssize_t n = ::sendfile(copy.get(), file.get(), nullptr, static_cast<size_t>(left));
    if (n <= 0) return common::errno_error("copy", kBusybox);
    left -= n;
  }
  const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return common::errno_error("seal", "busybox");
  return copy;
}

}  // namespace tether
