#include "common/utf8.h"

#include <algorithm>
#include <array>

namespace common {

size_t utf8_length(std::string_view s, size_t i, unsigned least) {
  auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char lead = byte(i);
  size_t n = 0;
  unsigned value = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    n = 2;
    value = lead & 0x1fU;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    n = 3;
    value = lead & 0x0fU;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    n = 4;
    value = lead & 0x07U;
  } else {
    return 0;
  }
  if (i + n > s.size()) return 0;
  for (size_t k = 1; k < n; ++k) {
    if ((byte(i + k) & 0xc0U) != 0x80U) return 0;
    value = (value << 6U) | (byte(i + k) & 0x3fU);
  }
  static constexpr std::array<unsigned, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  return value >= std::max(kLeast[n], least) && value <= 0x10ffff && !surrogate ? n : 0;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t n = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_length(text, i, 0);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

}  // namespace common
