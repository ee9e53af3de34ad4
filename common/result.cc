#include "common/result.h"

#include <array>

namespace common {
namespace {

// Length of the well-formed UTF-8 sequence at `i`, or 0. Overlong forms, surrogates and C1 controls
// count as ill-formed.
size_t utf8_length(std::string_view s, size_t i) {
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
  static constexpr std::array<unsigned, 5> kLeast = {0, 0, 0xa0, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  return value >= kLeast[n] && value <= 0x10ffff && !surrogate ? n : 0;
}

}  // namespace

std::string escape(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7f) {
      out += text[i++];
    } else if (const size_t n = utf8_length(text, i); n > 0) {
      out.append(text.substr(i, n));
      i += n;
    } else {
      out += {'\\', 'x', kHex[c >> 4U], kHex[c & 15U]};
      ++i;
    }
  }
  return out;
}

std::string Error::message() const {
  std::string text = operation;
  if (!object.empty()) text += (text.empty() ? "" : " ") + object;
  if (code) text += (text.empty() ? "" : ": ") + code.message();
  if (!detail.empty()) text += code ? " (" + detail + ")" : ": " + detail;
  return escape(text);
}

Error make_error(int errno_value, std::string operation, std::string object, std::string detail) {
  return {std::error_code(errno_value, std::generic_category()), std::move(operation),
          std::move(object), std::move(detail)};
}

Error errno_error(std::string operation, std::string object, std::string detail) {
  const int saved = errno;
  return make_error(saved, std::move(operation), std::move(object), std::move(detail));
}

}  // namespace common
