#include "tether/boot/guestinfo.h"

#include "protocol/config.h"
#include "tether/boot/gunzip.h"

namespace tether {
namespace {

constexpr std::string_view kPrefix = "guestinfo.tether.";
constexpr std::string_view kTaken = "-";
constexpr size_t kMostEncoding = 64;
constexpr size_t kMostValue = 512;

common::Result<std::string> get(BackdoorPort& port, const std::string& name, size_t limit) {
  return ask_hypervisor(port, "info-get " + name, limit);
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

common::Result<std::string> decode(std::string_view text, std::string_view encoding, size_t limit) {
  const bool packed = encoding == "gzip+base64" || encoding == "gz+b64";
  if (!packed && !encoding.empty() && encoding != "base64" && encoding != "b64") {
    return common::make_error(EINVAL, "read", std::string(protocol::kGuestinfoConfig) + ".encoding",
                              "'" + std::string(encoding) + "', want base64 or gzip+base64");
  }
  ASSIGN_OR_RETURN(std::string bytes, decode_base64(text));
  if (!packed) return bytes;
  return gunzip(bytes, limit);
}

}  // namespace

common::Result<std::string> read_guestinfo_config(BackdoorPort& port, size_t limit) {
  if (!has_backdoor(port)) {
    return common::make_error(ENODEV, "read", "guestinfo", "this is no VMware machine");
  }
  const std::string name(protocol::kGuestinfoConfig);
  std::string encoding;
  if (auto found = get(port, name + ".encoding", kMostEncoding); found.has_value()) {
    encoding = trimmed(*found);
  }
  ASSIGN_OR_RETURN(const std::string text, get(port, name, 2 * limit));
  const std::string_view value = trimmed(text);
  if (value.empty() || value == kTaken) {
    return common::make_error(ENOENT, "read", name,
                              value.empty() ? "it is empty" : "it was taken at an earlier start");
  }
  ASSIGN_OR_RETURN(std::string config, decode(value, encoding, limit));
  // With the key of the link in it, it is nothing for whoever comes after.
  ASSIGN_OR_RETURN(const std::string done,
                   ask_hypervisor(port, "info-set " + name + " " + std::string(kTaken), limit));
  (void)done;
  return config;
}

common::Status set_guestinfo(BackdoorPort& port, std::string_view name, std::string_view value) {
  std::string command = "info-set " + std::string(kPrefix) + std::string(name) + " ";
  command += common::escape(value.substr(0, kMostValue));
  RETURN_IF_ERROR(ask_hypervisor(port, command, kMostValue));
  return {};
}

}  // namespace tether
