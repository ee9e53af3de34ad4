#include "tether/supervisor/ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {
// Pages go back in steps: one call for each few thousand bytes would cost more than the memory.
constexpr uint64_t kPunchStep = 256 * 1024;
constexpr uint64_t kPage = 4096;
}  // namespace

common::Status Ring::open() {
  fd_.reset(::memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd_) return common::errno_error("memfd_create", "output ring");
  if (::ftruncate(fd_.get(), kRingSize) != 0)
    return common::errno_error("ftruncate", "output ring");
  if (::fchmod(fd_.get(), 0600) != 0) return common::errno_error("fchmod", "output ring");
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return common::errno_error("seal", "output ring");
  }
  void* memory = ::mmap(nullptr, kRingSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED) return common::errno_error("mmap", "output ring");
  memory_ = static_cast<char*>(memory);
  head_ = tail_ = punched_ = 0;
  return {};
}

void Ring::close() {
  if (memory_ != nullptr) ::munmap(memory_, kRingSize);
  memory_ = nullptr;
  fd_.reset();
}

common::UniqueFd Ring::reopen_read_only() const {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd_.get());
  return common::UniqueFd(::open(path, O_RDONLY | O_CLOEXEC));
}

Ring::Fill Ring::fill_from(int fd) {
  const uint64_t space = kRingSize - (head_ - tail_);
  if (space == 0) return Fill::kFull;
  const uint64_t start = head_ % kRingSize;
  const uint64_t first = std::min(space, kRingSize - start);
  iovec parts[2] = {{memory_ + start, first}, {memory_, space - first}};
  ssize_t n = 0;
  do {
    n = ::readv(fd, parts, space > first ? 2 : 1);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    head_ += static_cast<uint64_t>(n);
    return Fill::kBytes;
  }
  return n < 0 && errno == EAGAIN ? Fill::kWouldBlock : Fill::kEnd;
}

bool Ring::free_below(uint64_t offset) {
  if (offset < tail_ || offset > head_) return false;
  tail_ = offset;
  // What was freed earlier may already hold newer bytes, one turn of the ring later.
  const uint64_t overwritten = head_ > kRingSize ? head_ - kRingSize : 0;
  const uint64_t first = std::max(punched_, (overwritten + kPage - 1) / kPage * kPage);
  const uint64_t last = tail_ / kPage * kPage;
  punched_ = first;
  if (last >= first + kPunchStep) punch(last);
  return true;
}

// Gives the pages of [punched_, last) back; not more than one turn of the ring.
void Ring::punch(uint64_t last) {
  while (punched_ < last) {
    const uint64_t start = punched_ % kRingSize;
    const uint64_t size = std::min(last - punched_, kRingSize - start);
    ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(start),
                static_cast<off_t>(size));
    punched_ += size;
  }
}

}  // namespace tether
