#include "tether/link/ring_view.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <span>
#include <utility>

#include "serial-transport/copy.h"
#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {

constexpr size_t kWorthMapping = 16 * 1024;

bool read_at(int fd, uint64_t position, std::span<char> out) {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd, out.data(), out.size(), static_cast<off_t>(position));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    position += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

RingView& RingView::operator=(RingView&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  fd_ = std::move(other.fd_);
  memory_ = std::exchange(other.memory_, nullptr);
  return *this;
}

// The memory cannot shrink: it is sealed, so that reading it never faults.
bool RingView::map() {
  void* memory = ::mmap(nullptr, kRingFileSize, PROT_READ, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED) return false;
  memory_ = static_cast<const char*>(memory);
  return true;
}

void RingView::unmap() {
  if (memory_ != nullptr) ::munmap(const_cast<char*>(memory_), kRingFileSize);
  memory_ = nullptr;
}

bool RingView::append(uint64_t offset, size_t size, std::string& out, uint64_t& tail) {
  const uint64_t start = offset % kRingSize;
  const size_t first = std::min<size_t>(size, kRingSize - start);
  if (memory_ != nullptr || (size >= kWorthMapping && map())) {
    serial_transport::append_bytes(out, {memory_ + start, first});
    serial_transport::append_bytes(out, {memory_, size - first});
    // The writer moves the tail before it overwrites: a tail that is read later shows it.
    std::atomic_thread_fence(std::memory_order_acquire);
    auto* place = reinterpret_cast<uint64_t*>(const_cast<char*>(memory_ + kRingSize));
    tail = std::atomic_ref<uint64_t>(*place).load(std::memory_order_relaxed);
    return true;
  }
  const size_t before = out.size();
  const std::span<char> place(reinterpret_cast<char*>(&tail), sizeof tail);
  if (read(start, first, out) && read(0, size - first, out) &&
      read_at(fd_.get(), kRingSize, place)) {
    return true;
  }
  out.resize(before);
  return false;
}

bool RingView::read(uint64_t position, size_t size, std::string& out) {
  std::array<char, 4096> piece;
  while (size > 0) {
    const auto part = std::span(piece).first(std::min(size, piece.size()));
    if (!read_at(fd_.get(), position, part)) return false;
    serial_transport::append_bytes(out, {part.data(), part.size()});
    position += part.size();
    size -= part.size();
  }
  return true;
}

}  // namespace tether
