#include "tether/boot/gunzip.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace tether {
namespace {

constexpr unsigned kMostBits = 15;
constexpr unsigned kEndOfBlock = 256;

common::Error bad(const char* why) { return common::make_error(EBADMSG, "unpack", "gzip", why); }

// Bits from the lowest of each byte on. Past the end they are zero, and `over` says so.
class Bits {
 public:
  explicit Bits(std::string_view bytes) : bytes_(bytes) {}
  unsigned take(unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; ++i, ++at_) {
      if (at_ / 8 >= bytes_.size()) {
        over_ = true;
        return 0;
      }
      const auto byte = static_cast<unsigned char>(bytes_[at_ / 8]);
      value |= (static_cast<unsigned>(byte) >> at_ % 8 & 1U) << i;
    }
    return value;
  }
  void to_byte() { at_ = (at_ + 7) / 8 * 8; }
  bool over() const { return over_; }

 private:
  std::string_view bytes_;
  size_t at_ = 0;  // in bits
  bool over_ = false;
};

// A canonical Huffman code: how many codes there are of each length, and the symbols in order.
class Code {
 public:
  // False when the lengths are no code's. A single code may be shorter than it has to.
  bool make(std::span<const uint8_t> lengths) {
    counts_ = {};
    for (const uint8_t length : lengths) ++counts_[length];
    counts_[0] = 0;
    std::array<unsigned, kMostBits + 2> starts{};
    int left = 1;
    for (unsigned bits = 1; bits <= kMostBits; ++bits) {
      left = left * 2 - static_cast<int>(counts_[bits]);
      if (left < 0) return false;
      starts[bits + 1] = starts[bits] + counts_[bits];
    }
    for (size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] != 0) symbols_[starts[lengths[i]]++] = static_cast<uint16_t>(i);
    }
    return true;
  }
  // The next symbol; -1 when there is none such.
  int take(Bits& bits) const {
    unsigned code = 0;
    unsigned first = 0;
    unsigned index = 0;
    for (unsigned length = 1; length <= kMostBits; ++length) {
      code |= bits.take(1);
      if (code - first < counts_[length]) return symbols_[index + code - first];
      index += counts_[length];
      first = (first + counts_[length]) << 1U;
      code <<= 1U;
    }
    return -1;
  }

 private:
  std::array<unsigned, kMostBits + 1> counts_{};
  std::array<uint16_t, 288> symbols_{};
};

// Lengths and distances: a base for each symbol, and how many more bits follow.
struct Range {
  unsigned base = 0, bits = 0;
};
Range length_of(unsigned symbol) {  // 0 to 28
  if (symbol < 8) return {3 + symbol, 0};
  if (symbol == 28) return {258, 0};
  const unsigned bits = symbol / 4 - 1;
  return {3 + ((4 + symbol % 4) << bits), bits};
}
Range distance_of(unsigned symbol) {  // 0 to 29
  if (symbol < 4) return {1 + symbol, 0};
  const unsigned bits = symbol / 2 - 1;
  return {1 + ((2 + symbol % 2) << bits), bits};
}

class Inflater {
 public:
  Inflater(std::string_view bytes, size_t limit) : bits_(bytes), limit_(limit) {}
  common::Result<std::string> run() {
    bool last = false;
    while (!last) {
      last = bits_.take(1) == 1;
      const unsigned kind = bits_.take(2);
      const bool good = kind == 0 ? stored() : kind == 1 ? fixed() : kind == 2 && dynamic();
      if (out_.size() > limit_) {
        return common::make_error(EFBIG, "unpack", "gzip",
                                  "more than " + std::to_string(limit_) + " bytes");
      }
      if (!good || bits_.over()) return bad("it is damaged");
    }
    return std::move(out_);
  }

 private:
  bool stored() {
    bits_.to_byte();
    const unsigned size = bits_.take(16);
    if ((bits_.take(16) ^ size) != 0xffffU) return false;
    for (unsigned i = 0; i < size && !bits_.over(); ++i) {
      out_ += static_cast<char>(bits_.take(8));
    }
    return true;
  }
  bool fixed() {
    std::array<uint8_t, 288> lengths{};
    for (size_t i = 0; i < lengths.size(); ++i) {
      lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    }
    std::array<uint8_t, 30> distances{};
    distances.fill(5);
    return literals_.make(lengths) && distances_.make(distances) && block();
  }
  bool dynamic() {
    const size_t literals = 257 + bits_.take(5);
    const size_t distances = 1 + bits_.take(5);
    const size_t count = 4 + bits_.take(4);
    if (literals > 286 || distances > 30) return false;
    static constexpr std::array<uint8_t, 19> kOrder = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                       11, 4,  12, 3, 13, 2, 14, 1, 15};
    std::array<uint8_t, 320> lengths{};
    for (size_t i = 0; i < count; ++i) lengths[kOrder[i]] = static_cast<uint8_t>(bits_.take(3));
    if (!literals_.make(std::span(lengths).first(19))) return false;
    lengths = {};
    for (size_t at = 0; at < literals + distances;) {
      const int symbol = literals_.take(bits_);
      if (symbol < 0 || bits_.over()) return false;
      if (symbol < 16) {
        lengths[at++] = static_cast<uint8_t>(symbol);
        continue;
      }
      if (symbol == 16 && at == 0) return false;
      const uint8_t repeated = symbol == 16 ? lengths[at - 1] : 0;
      const size_t times = symbol == 16   ? 3 + bits_.take(2)
                           : symbol == 17 ? 3 + bits_.take(3)
                                          : 11 + bits_.take(7);
      if (at + times > literals + distances) return false;
      std::fill_n(lengths.begin() + static_cast<long>(at), times, repeated);
      at += times;
    }
    const auto all = std::span<const uint8_t>(lengths);
    return literals_.make(all.first(literals)) &&
           distances_.make(all.subspan(literals, distances)) && block();
  }
  bool block() {
    while (out_.size() <= limit_ && !bits_.over()) {
      const int symbol = literals_.take(bits_);
      if (symbol < 0) return false;
      if (symbol == kEndOfBlock) return true;
      if (symbol < int{kEndOfBlock}) {
        out_ += static_cast<char>(symbol);
        continue;
      }
      const auto which = static_cast<unsigned>(symbol) - kEndOfBlock - 1;
      if (which > 28) return false;
      const Range length = length_of(which);
      const unsigned size = length.base + bits_.take(length.bits);
      const int far = distances_.take(bits_);
      if (far < 0 || far > 29) return false;
      const Range distance = distance_of(static_cast<unsigned>(far));
      const size_t back = distance.base + bits_.take(distance.bits);
      if (back > out_.size()) return false;
      for (unsigned i = 0; i < size; ++i) out_ += out_[out_.size() - back];
    }
    return false;
  }

  Bits bits_;
  size_t limit_;
  std::string out_;
  Code literals_;
  Code distances_;
};

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

uint32_t little_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[i]);
  return value;
}

// What follows the header, up to the end; nothing when it is none.
std::string_view behind_header(std::string_view bytes) {
  constexpr unsigned kExtra = 4, kName = 8, kComment = 16, kCheck = 2;
  if (bytes.size() < 18 || !bytes.starts_with("\x1f\x8b\x08")) return {};
  const auto flags = static_cast<unsigned char>(bytes[3]);
  size_t at = 10;
  if ((flags & kExtra) != 0) {
    at += 2 + (static_cast<unsigned char>(bytes[10]) |
               static_cast<size_t>(static_cast<unsigned char>(bytes[11])) << 8U);
  }
  for (const unsigned text : {kName, kComment}) {
    if ((flags & text) == 0) continue;
    const size_t end = bytes.find('\0', std::min(at, bytes.size()));
    if (end == std::string_view::npos) return {};
    at = end + 1;
  }
  if ((flags & kCheck) != 0) at += 2;
  return at + 8 < bytes.size() ? bytes.substr(at) : std::string_view();
}

}  // namespace

common::Result<std::string> gunzip(std::string_view bytes, size_t limit) {
  const std::string_view packed = behind_header(bytes);
  if (packed.empty()) return bad("it does not begin as gzip does");
  Inflater inflater(packed.substr(0, packed.size() - 8), limit);
  ASSIGN_OR_RETURN(std::string out, inflater.run());
  if (crc32(out) != little_endian(packed.substr(packed.size() - 8))) {
    return bad("the checksum is wrong");
  }
  return out;
}

common::Result<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  bool padded = false;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    const size_t digit = kDigits.find(c);
    padded = padded || c == '=';
    if (c == '=') continue;
    if (padded || digit == std::string_view::npos) {
      return common::make_error(EBADMSG, "decode", "base64",
                                "'" + std::string(1, c) + "' does not belong there");
    }
    bits = bits << 6U | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xffU);
  }
  return out;
}

}  // namespace tether
