#include "iso-builder/lz4_matches.h"

#include <cstdint>

namespace iso_builder {
namespace {

constexpr size_t kLeastMatch = 4;  // what a match's length of 0 means
constexpr size_t kNibble = 15;     // a length that goes on behind the token
constexpr size_t kOffset = 2;

// The rest of a length whose nibble says that there is one.
size_t take_length(std::string_view& bytes, size_t nibble) {
  size_t length = nibble;
  if (nibble != kNibble) return length;
  for (uint8_t more = 255; more == 255; bytes.remove_prefix(1)) {
    more = static_cast<uint8_t>(bytes.front());
    length += more;
  }
  return length;
}

void put_length(std::string& out, size_t length) {
  if (length < kNibble) return;
  for (length -= kNibble; length >= 255; length -= 255) out += '\xff';
  out += static_cast<char>(length);
}

void put_sequence(std::string& out, std::string_view literals, size_t match,
                  std::string_view offset) {
  const auto nibble = [](size_t length) { return length < kNibble ? length : kNibble; };
  const size_t match_length = match == 0 ? 0 : match - kLeastMatch;
  out += static_cast<char>(nibble(literals.size()) << 4U | nibble(match_length));
  put_length(out, literals.size());
  out += literals;
  out += offset;
  if (match != 0) put_length(out, match_length);
}

}  // namespace

std::string without_short_matches(std::string_view packed, std::string_view raw, size_t least) {
  std::string out;
  size_t begin = 0;  // of the literals that are still to be written
  size_t at = 0;     // in `raw`
  while (!packed.empty()) {
    const auto token = static_cast<uint8_t>(packed.front());
    packed.remove_prefix(1);
    const size_t literals = take_length(packed, token >> 4U);
    packed.remove_prefix(literals);
    at += literals;
    if (packed.empty()) break;  // The last sequence has no match.
    const std::string_view offset = packed.substr(0, kOffset);
    packed.remove_prefix(kOffset);
    const size_t match = take_length(packed, token & kNibble) + kLeastMatch;
    if (match >= least) {
      put_sequence(out, raw.substr(begin, at - begin), match, offset);
      begin = at + match;
    }
    at += match;
  }
  put_sequence(out, raw.substr(begin), 0, {});
  return out;
}

}  // namespace iso_builder
