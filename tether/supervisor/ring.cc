#include "tether/supervisor/ring.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {
// Pages go back in steps: one call for each few thousand bytes would cost more than the memory.
constexpr uint64_t kPunchStep = 16 * 1024;
constexpr uint64_t kPage = 4096;
}  // namespace

common::Status Ring::open(RingBudget* budget, RingPool* pool) {
  close();
  auto memory = pool != nullptr ? pool->take() : RingMemory::make();
  if (memory.has_error()) return memory.error();
  memory_ = std::move(*memory);
  budget_ = budget;
  pool_ = pool;
  head_ = tail_ = punched_ = head_then_ = 0;
  return {};
}

void Ring::close() {
  if (memory_ && pool_ != nullptr && head_ == 0) pool_->give(std::move(memory_));
  memory_ = {};
  pool_ = nullptr;
  if (budget_ != nullptr) budget_->used -= charged_;
  budget_ = nullptr;
  charged_ = 0;
}

uint64_t Ring::space() const {
  const uint64_t own = kRingSize - (head_ - tail_);
  if (budget_ == nullptr || charged_ >= kRingSize) return own;
  const uint64_t least = RingBudget::kLeast - std::min(RingBudget::kLeast, charged_);
  const uint64_t left = budget_->limit - std::min(budget_->limit, budget_->used);
  return std::min(own, std::max(least, left));
}

Ring::Fill Ring::fill_from(int fd) {
  const uint64_t room = space();
  if (room == 0) return Fill::kFull;
  const uint64_t start = head_ % kRingSize;
  const uint64_t first = std::min(room, kRingSize - start);
  iovec parts[2] = {{memory_.bytes() + start, first}, {memory_.bytes(), room - first}};
  ssize_t n = 0;
  do {
    n = ::readv(fd, parts, room > first ? 2 : 1);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    head_ += static_cast<uint64_t>(n);
    account();
    return Fill::kBytes;
  }
  return n < 0 && errno == EAGAIN ? Fill::kWouldBlock : Fill::kEnd;
}

void Ring::move_tail(uint64_t offset) {
  if (std::exchange(tail_, offset) == offset) return;
  std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory_.bytes() + kRingSize))
      .store(tail_, std::memory_order_release);
}

bool Ring::free_below(uint64_t offset) {
  if (!memory_ || offset < tail_ || offset > head_) return false;
  move_tail(offset);
  if (budget_ != nullptr && budget_->tight()) give_back(kPunchStep);
  return true;
}

bool Ring::trim_if_quiet() {
  if (!memory_) return false;
  if (std::exchange(head_then_, head_) != head_) return true;
  give_back(kPage);
  return false;
}

// What was freed earlier may already hold newer bytes, one turn of the ring later.
uint64_t Ring::first_unpunched() const {
  const uint64_t overwritten = head_ > kRingSize ? head_ - kRingSize : 0;
  return std::max(punched_, (overwritten + kPage - 1) / kPage * kPage);
}

void Ring::give_back(uint64_t step) {
  const uint64_t last = tail_ / kPage * kPage;
  punched_ = first_unpunched();
  if (last >= punched_ + step) punch(last);
  account();
}

// Gives the pages of [punched_, last) back; not more than one turn of the ring.
void Ring::punch(uint64_t last) {
  while (punched_ < last) {
    const uint64_t start = punched_ % kRingSize;
    const uint64_t size = std::min(last - punched_, kRingSize - start);
    ::fallocate(memory_.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(start), static_cast<off_t>(size));
    punched_ += size;
  }
}

void Ring::account() {
  if (budget_ == nullptr) return;
  const uint64_t resident = std::min<uint64_t>(kRingSize, head_ - std::min(head_, punched_));
  budget_->used = budget_->used - charged_ + resident;
  charged_ = resident;
}

std::array<std::string_view, 2> Ring::bytes(uint64_t offset, size_t size) const {
  if (!memory_ || offset < tail_ || offset >= head_) return {};
  const uint64_t count = std::min<uint64_t>(size, head_ - offset);
  const uint64_t start = offset % kRingSize;
  const uint64_t first = std::min(count, kRingSize - start);
  return {std::string_view(memory_.bytes() + start, first),
          std::string_view(memory_.bytes(), count - first)};
}

}  // namespace tether
