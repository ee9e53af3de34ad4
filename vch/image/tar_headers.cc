#include "vch/image/tar_headers.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace vch {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kTypeAt = 156;
constexpr size_t kSizeAt = 124;
constexpr size_t kSizeLength = 12;

bool nul_in_pax_names(std::string_view records) {
  while (!records.empty()) {
    size_t length = 0;
    const auto parsed = std::from_chars(records.data(), records.data() + records.size(), length);
    if (parsed.ec != std::errc() || length == 0 || length > records.size()) return false;
    const std::string_view record = records.substr(0, length);
    records.remove_prefix(length);
    const size_t space = record.find(' ');
    const size_t equals = record.find('=');
    if (space == std::string_view::npos || equals == std::string_view::npos || equals < space) {
      return false;
    }
    const std::string_view key = record.substr(space + 1, equals - space - 1);
    const bool is_name = key == "path" || key == "linkpath" || key == "GNU.sparse.name";
    if (is_name && record.find('\0', equals) != std::string_view::npos) return true;
  }
  return false;
}

// GNU's long names end with NULs; anything behind one was hidden.
bool nul_in_long_name(std::string_view name) {
  const size_t nul = name.find('\0');
  return nul != std::string_view::npos &&
         name.find_first_not_of('\0', nul) != std::string_view::npos;
}

uint64_t octal(std::string_view field) {
  field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
  uint64_t value = 0;
  std::from_chars(field.data(), field.data() + field.size(), value, 8);
  return value;
}

}  // namespace

bool has_nul_in_name(std::string_view headers) {
  while (headers.size() >= kBlock) {
    const char type = headers[kTypeAt];
    const uint64_t size = octal(headers.substr(kSizeAt, kSizeLength));
    headers.remove_prefix(kBlock);
    const bool pax = type == 'x' || type == 'X';
    const bool long_name = type == 'L' || type == 'K';
    if (!pax && !long_name && type != 'g') return false;
    if (size > headers.size()) return false;
    const std::string_view body = headers.substr(0, size);
    if (pax ? nul_in_pax_names(body) : long_name && nul_in_long_name(body)) return true;
    headers.remove_prefix(
        std::min<uint64_t>(headers.size(), (size + kBlock - 1) / kBlock * kBlock));
  }
  return false;
}

}  // namespace vch
