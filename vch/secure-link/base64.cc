#include "vch/secure-link/base64.h"

#include <cstdint>

namespace vch {

std::string to_base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      const bool filled = i + j <= bytes.size();
      out += filled ? kDigits[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

std::string fingerprint_text(std::string_view sha256) {
  std::string text = to_base64(sha256);
  text.resize(text.find_last_not_of('=') + 1);
  return "SHA256:" + text;
}

}  // namespace vch
