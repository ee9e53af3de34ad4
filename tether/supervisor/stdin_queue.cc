#include "tether/supervisor/stdin_queue.h"

#include <algorithm>
#include <span>

#include "serial-transport/copy.h"

namespace tether {

StdinQueue::Writer* StdinQueue::find(const WriterId& id) {
  const auto row = std::find_if(writers_.begin(), writers_.end(),
                                [&](const Writer& w) { return w.used != 0 && w.id == id; });
  return row == writers_.end() ? nullptr : &*row;
}

StdinQueue::Writer* StdinQueue::find_or_add(const WriterId& id) {
  if (Writer* known = find(id)) return known;
  auto quietest =
      std::min_element(writers_.begin(), writers_.end(),
                       [](const Writer& a, const Writer& b) { return a.used < b.used; });
  *quietest = Writer{id, 0, 0};
  return &*quietest;
}

bool StdinQueue::push(const WriterId& writer, uint64_t offset, std::string_view bytes) {
  Writer* row = find_or_add(writer);
  if (offset > row->received) return false;
  const uint64_t known = row->received - offset;
  row->used = ++clock_;
  if (known >= bytes.size()) return true;
  bytes.remove_prefix(known);
  if (chunks_ == kMaxChunks || bytes.size() > kCapacity - held_) return false;
  const size_t start = (first_byte_ + held_) % kCapacity;
  const size_t first = std::min(bytes.size(), kCapacity - start);
  const auto raw = std::as_bytes(std::span(bytes));
  const auto place = std::as_writable_bytes(std::span(bytes_));
  serial_transport::copy_bytes(place.data() + start, raw.first(first));
  serial_transport::copy_bytes(place.data(), raw.subspan(first));
  held_ += bytes.size();
  row->received += bytes.size();
  queue_[(first_chunk_ + chunks_++) % kMaxChunks] = {writer, row->received, bytes.size()};
  return true;
}

std::string_view StdinQueue::fresh(const WriterId& writer, uint64_t offset,
                                   std::string_view bytes) const {
  const uint64_t known = received(writer);
  if (offset > known) return {};
  return bytes.substr(std::min<uint64_t>(known - offset, bytes.size()));
}

void StdinQueue::skip(const WriterId& writer, uint64_t offset, size_t count) {
  Writer* row = find_or_add(writer);
  row->used = ++clock_;
  row->received = std::max(row->received, offset + count);
}

uint64_t StdinQueue::received(const WriterId& writer) const {
  for (const Writer& row : writers_) {
    if (row.used != 0 && row.id == writer) return row.received;
  }
  return 0;
}

std::string_view StdinQueue::front() const {
  if (chunks_ == 0) return {};
  return {bytes_.data() + first_byte_,
          std::min(queue_[first_chunk_].length, kCapacity - first_byte_)};
}

StdinQueue::Done StdinQueue::pop(size_t count) {
  Chunk& chunk = queue_[first_chunk_];
  count = std::min(count, chunk.length);
  chunk.length -= count;
  held_ -= count;
  first_byte_ = (first_byte_ + count) % kCapacity;
  if (chunk.length > 0) return {};
  first_chunk_ = (first_chunk_ + 1) % kMaxChunks;
  --chunks_;
  return {true, chunk.writer, chunk.end_offset};
}

void StdinQueue::clear() { chunks_ = held_ = first_byte_ = first_chunk_ = 0; }

}  // namespace tether
