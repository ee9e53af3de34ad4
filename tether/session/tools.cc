#include "tether/session/tools.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "common/scope_guard.h"
#include "tether/session/unlz4.h"

namespace tether {
namespace {

// Where the initramfs has it: as it is for hooks, which are scripts of its; packed otherwise, since
// few machines ever need it.
constexpr const char* kBusybox = "/tools/busybox";
constexpr const char* kPackedBusybox = "/tools/busybox.lz4";
constexpr size_t kMaxBusybox = size_t{8} << 20U;  // the largest block that lz4 -l makes

common::Status unpack_into(int memory, std::string_view packed) {
  if (::ftruncate(memory, kMaxBusybox) != 0) return common::errno_error("resize", kPackedBusybox);
  void* place = ::mmap(nullptr, kMaxBusybox, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (place == MAP_FAILED) return common::errno_error("map", kPackedBusybox);
  const common::ScopeGuard unmap([place] { ::munmap(place, kMaxBusybox); });
  ASSIGN_OR_RETURN(const size_t size, unpack_lz4(packed, {static_cast<char*>(place), kMaxBusybox}));
  if (::ftruncate(memory, static_cast<off_t>(size)) != 0) {
    return common::errno_error("resize", kPackedBusybox);
  }
  return {};
}

}  // namespace

common::Result<common::UniqueFd> open_busybox() {
  common::UniqueFd copy(::memfd_create("busybox", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) return common::errno_error("memfd_create", "busybox");
  if (const auto packed = common::read_file(kPackedBusybox, kMaxBusybox); packed.has_value()) {
    RETURN_IF_ERROR(unpack_into(copy.get(), *packed));
  } else {
    ASSIGN_OR_RETURN(const std::string plain, common::read_file(kBusybox, kMaxBusybox));
    RETURN_IF_ERROR(common::write_all(copy.get(), plain, "busybox"));
  }
  const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return common::errno_error("seal", "busybox");
  return copy;
}

}  // namespace tether
