#include "serial-transport/byte_queue.h"

#include <algorithm>
#include <utility>

#include "serial-transport/copy.h"

namespace serial_transport {

ChunkPool::~ChunkPool() {
  while (kept_ != nullptr) delete std::exchange(kept_, kept_->next);
}

ChunkPool::Chunk* ChunkPool::take() {
  if (kept_ == nullptr) return new Chunk;
  --count_;
  Chunk* chunk = std::exchange(kept_, kept_->next);
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  return chunk;
}

void ChunkPool::give(Chunk* chunk) {
  if (count_ == kMostKept) {
    delete chunk;
    return;
  }
  ++count_;
  chunk->next = kept_;
  kept_ = chunk;
}

void ByteQueue::append(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (last_ == nullptr || last_->end == ChunkPool::kBytes) {
      ChunkPool::Chunk* chunk = pool_->take();
      (last_ == nullptr ? first_ : last_->next) = chunk;
      last_ = chunk;
    }
    const size_t size = std::min(bytes.size(), ChunkPool::kBytes - last_->end);
    copy_bytes(&last_->bytes[last_->end], bytes.first(size));
    last_->end += static_cast<uint32_t>(size);
    bytes = bytes.subspan(size);
  }
}

void ByteQueue::pop(std::span<std::byte> out) {
  size_ -= out.size();
  while (!out.empty()) {
    const size_t size = std::min<size_t>(out.size(), first_->end - first_->begin);
    copy_bytes(out.data(), {&first_->bytes[first_->begin], size});
    first_->begin += static_cast<uint32_t>(size);
    out = out.subspan(size);
    if (first_->begin == first_->end) drop_first();
  }
}

void ByteQueue::clear() {
  while (first_ != nullptr) drop_first();
  size_ = 0;
}

void ByteQueue::drop_first() {
  ChunkPool::Chunk* chunk = first_;
  first_ = chunk->next;
  if (first_ == nullptr) last_ = nullptr;
  pool_->give(chunk);
}

}  // namespace serial_transport
