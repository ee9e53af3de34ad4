#include "tether/supervisor/ring_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "tether/supervisor/link_messages.h"

namespace tether {

RingMemory& RingMemory::operator=(RingMemory&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  file_ = std::move(other.file_);
  reader_ = std::move(other.reader_);
  bytes_ = std::exchange(other.bytes_, nullptr);
  return *this;
}

void RingMemory::unmap() {
  if (bytes_ != nullptr) ::munmap(bytes_, kRingFileSize);
  bytes_ = nullptr;
}

common::Result<RingMemory> RingMemory::make() {
  RingMemory memory;
  memory.file_.reset(::memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const int file = memory.file();
  if (file < 0) return common::errno_error("memfd_create", "output ring");
  if (::ftruncate(file, kRingFileSize) != 0) return common::errno_error("ftruncate", "output ring");
  if (::fchmod(file, 0600) != 0) return common::errno_error("fchmod", "output ring");
  if (::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return common::errno_error("seal", "output ring");
  }
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  memory.reader_.reset(::open(path, O_RDONLY | O_CLOEXEC));
  if (!memory.reader_) return common::errno_error("open read-only", "output ring");
  RETURN_IF_ERROR(memory.map());
  return memory;
}

common::Status RingMemory::map() {
  void* bytes = ::mmap(nullptr, kRingFileSize, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (bytes == MAP_FAILED) return common::errno_error("mmap", "output ring");
  bytes_ = static_cast<char*>(bytes);
  return {};
}

common::Result<RingMemory> RingPool::take() {
  if (size_ == 0) return RingMemory::make();
  return std::move(spare_[--size_]);
}

void RingPool::give(RingMemory memory) {
  if (size_ < kMost) spare_[size_++] = std::move(memory);
}

}  // namespace tether
