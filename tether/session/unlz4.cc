#include "tether/session/unlz4.h"

#include <cstring>

namespace tether {
namespace {

constexpr uint32_t kMagic = 0x184c2102;
constexpr size_t kHeader = 8;  // the magic, and the block's length
constexpr unsigned kLongLength = 15, kLeastMatch = 4;

// One block: literals and copies of what came before, in turns.
class Block {
 public:
  Block(std::string_view in, std::span<char> out) : in_(in), out_(out) {}

  // False where it is damaged or too large.
  bool unpack() {
    while (at_ < in_.size()) {
      const auto token = static_cast<unsigned char>(in_[at_++]);
      size_t literals = token >> 4U, match = token & kLongLength;
      if (!lengthen(literals) || !copy_literals(literals)) return false;
      if (at_ == in_.size()) return true;  // the last has no copy
      if (in_.size() - at_ < 2) return false;
      const size_t distance = byte(at_) | byte(at_ + 1) << 8U;
      at_ += 2;
      if (!lengthen(match) || !copy_match(distance, match + kLeastMatch)) return false;
    }
    return false;
  }
  size_t size() const { return size_; }

 private:
  size_t byte(size_t at) const { return static_cast<unsigned char>(in_[at]); }

  bool lengthen(size_t& length) {
    if (length != kLongLength) return true;
    size_t more = 255;
    while (more == 255) {
      if (at_ == in_.size()) return false;
      more = byte(at_++);
      length += more;
    }
    return true;
  }
  bool copy_literals(size_t length) {
    if (length > in_.size() - at_ || length > out_.size() - size_) return false;
    std::memcpy(out_.data() + size_, in_.data() + at_, length);
    at_ += length;
    size_ += length;
    return true;
  }
  // The source may reach into what is being written.
  bool copy_match(size_t distance, size_t length) {
    if (distance == 0 || distance > size_ || length > out_.size() - size_) return false;
    char* to = out_.data() + size_;
    for (size_t i = 0; i < length; ++i) to[i] = *(to + i - distance);
    size_ += length;
    return true;
  }

  std::string_view in_;
  std::span<char> out_;
  size_t at_ = 0, size_ = 0;
};

uint32_t le32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);  // the guest is little-endian
  return value;
}

}  // namespace

common::Result<size_t> unpack_lz4(std::string_view packed, std::span<char> out) {
  const auto damaged = [] { return common::make_error(EILSEQ, "unpack", "lz4"); };
  if (packed.size() < kHeader || le32(packed, 0) != kMagic) return damaged();
  if (le32(packed, 4) != packed.size() - kHeader) return damaged();
  Block block(packed.substr(kHeader), out);
  if (!block.unpack()) return damaged();
  return block.size();
}

}  // namespace tether
