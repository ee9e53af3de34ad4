// What a session's writers sent and its process has not read yet. Each writer (a client, by its
// 128-bit id) counts its own bytes from 0; chunks of several writers interleave whole. Bounded:
// what does not fit is not accepted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tether {

using WriterId = std::array<uint64_t, 2>;

class StdinQueue {
 public:
  static constexpr size_t kMaxWriters = 64;
  static constexpr size_t kMaxChunks = 64;
  static constexpr size_t kCapacity = 256 * 1024;

  // Takes the part of [offset, offset + bytes) that this writer has not given yet. False when it
  // was not taken: a hole before it, a full queue, or too many writers (the one quiet for longest
  // is forgotten first).
  bool push(const WriterId& writer, uint64_t offset, std::string_view bytes);
  // The same part, to be given to the process at once: only while the queue is empty, and what the
  // process does not take must be pushed. Nothing when push() would refuse it.
  std::string_view fresh(const WriterId& writer, uint64_t offset, std::string_view bytes) const;
  // Its first `count` bytes were taken.
  void skip(const WriterId& writer, uint64_t offset, size_t count);
  // How much of this writer's input was received.
  uint64_t received(const WriterId& writer) const;

  // The oldest bytes to write to the process: a part of one chunk.
  std::string_view front() const;
  struct Done {
    bool chunk_finished =
        false;  // tell the writer: everything up to `offset` was taken by the process
    WriterId writer{};
    uint64_t offset = 0;
  };
  // `count` bytes of front() were written.
  Done pop(size_t count);

  // The process closed its end: throws everything away.
  void clear();
  bool empty() const { return chunks_ == 0; }
  // Some writer has given something, ever.
  bool used() const { return clock_ != 0; }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  struct Writer {
    WriterId id{};
    uint64_t received = 0;
    uint64_t used = 0;  // when it last sent, 0: a free row
  };
  struct Chunk {
    WriterId writer{};
    uint64_t end_offset = 0;
    size_t length = 0;
  };
  Writer* find(const WriterId& id);
  Writer* find_or_add(const WriterId& id);

  std::array<Writer, kMaxWriters> writers_{};
  std::array<Chunk, kMaxChunks> queue_{};
  std::array<char, kCapacity> bytes_;  // not cleared: the pages of idle sessions stay untouched
  size_t first_chunk_ = 0;
  size_t chunks_ = 0;
  size_t first_byte_ = 0;
  size_t held_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace tether
