// Bytes that wait, in pieces that go back to a common pool: an empty queue holds no memory, and a
// queue that fills and drains again and again allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace serial_transport {

class ChunkPool {
 public:
  static constexpr size_t kBytes = 4080;
  static constexpr size_t kMostKept = 64;
  struct Chunk {
    Chunk* next = nullptr;
    uint32_t begin = 0, end = 0;
    std::array<std::byte, kBytes> bytes;
  };

  ChunkPool() = default;
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  Chunk* take();
  void give(Chunk* chunk);

 private:
  Chunk* kept_ = nullptr;
  size_t count_ = 0;
};

// Must not outlive its pool.
class ByteQueue {
 public:
  explicit ByteQueue(ChunkPool& pool) : pool_(&pool) {}
  ~ByteQueue() { clear(); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void append(std::span<const std::byte> bytes);
  // Moves the first bytes to `out`, which is no larger than the queue.
  void pop(std::span<std::byte> out);
  void clear();

 private:
  void drop_first();
  ChunkPool* pool_;
  ChunkPool::Chunk* first_ = nullptr;
  ChunkPool::Chunk* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace serial_transport
