#include "vch/machine/log_options.h"

#include <charconv>
#include <string_view>

#include "vch/machine/container_config.h"

namespace vch {
namespace {

using common::make_error;
using common::Status;

constexpr uint64_t kLeastSize = 64 * 1024;  // more than any record
constexpr uint32_t kMostFiles = 64;

Status set_one(std::string_view text, ContainerSpec& spec) {
  const auto refuse = [text](const std::string& why) {
    return make_error(EINVAL, "--log-opt", "'" + std::string(text) + "'", why);
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return refuse("want max-size=SIZE or max-file=NUMBER");
  const std::string key(text.substr(0, equals));
  const std::string value(text.substr(equals + 1));
  if (key == "max-size") {
    const auto size = parse_size(value);
    if (size.has_error()) return refuse(size.error().detail);
    if (*size < kLeastSize) return refuse("want at least 64k");
    spec.journal_max_size = *size;
    return {};
  }
  if (key != "max-file") return refuse("want max-size=SIZE or max-file=NUMBER");
  uint32_t files = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), files);
  const bool number = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
  if (!number || files < 1 || files > kMostFiles) return refuse("want 1 to 64 files");
  spec.journal_max_files = files;
  return {};
}

}  // namespace

Status set_log_options(const std::vector<std::string>& texts, ContainerSpec& spec) {
  for (const std::string& text : texts) {
    for (size_t start = 0; start <= text.size();) {
      const size_t end = std::min(text.find(',', start), text.size());
      RETURN_IF_ERROR(set_one(std::string_view(text).substr(start, end - start), spec));
      start = end + 1;
    }
  }
  return {};
}

}  // namespace vch
