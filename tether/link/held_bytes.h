// Bytes that wait in order, in a circle of fixed size: taking off what is done moves nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "serial-transport/copy.h"

namespace tether {

class HeldBytes {
 public:
  explicit HeldBytes(size_t capacity) : capacity_(capacity) {}

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t room() const { return capacity_ - size_; }

  // `bytes` are no more than there is room for.
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    // Not cleared: memory that is not needed stays untouched.
    if (memory_ == nullptr) memory_.reset(new std::byte[capacity_]);
    const auto raw = std::as_bytes(std::span(bytes));
    const size_t at = (begin_ + size_) % capacity_;
    const size_t first = std::min(raw.size(), capacity_ - at);
    serial_transport::copy_bytes(memory_.get() + at, raw.first(first));
    serial_transport::copy_bytes(memory_.get(), raw.subspan(first));
    size_ += raw.size();
  }
  // At most `most` bytes from the `at`th on: those that lie in one piece.
  std::string_view piece(size_t at, size_t most) const {
    const size_t start = (begin_ + at) % capacity_;
    const size_t length = std::min({most, size_ - at, capacity_ - start});
    return {reinterpret_cast<const char*>(memory_.get()) + start, length};
  }
  void drop(size_t count) {
    count = std::min(count, size_);
    size_ -= count;
    begin_ = size_ == 0 ? 0 : (begin_ + count) % capacity_;
  }

 private:
  size_t capacity_;
  std::unique_ptr<std::byte[]> memory_;
  size_t begin_ = 0;
  size_t size_ = 0;
};

}  // namespace tether
