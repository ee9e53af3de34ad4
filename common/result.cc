#include "common/result.h"

#include "common/utf8.h"

namespace common {

std::string escape(std::string_view text) {
  static constexpr unsigned kFirstPrintable = 0xa0;  // behind the C1 controls
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7f) {
      out += text[i++];
    } else if (const size_t n = utf8_length(text, i, kFirstPrintable); n > 0) {
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
