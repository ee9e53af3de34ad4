#include "vch/image/reference.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "vch/image/image_error.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using common::Result;

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubLibrary = "library/";

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Lower-case letters and digits with ".", "_", "__" or dashes between them.
bool is_component(std::string_view text) {
  if (text.empty() || !is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) {
    return false;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_lower_or_digit(c) || c == '-') continue;
    const size_t end = std::min(text.find_first_not_of(c, i), text.size());
    const bool separator = (c == '.' && end - i == 1) || (c == '_' && end - i <= 2);
    if (!separator || text[end] == '.' || text[end] == '_' || text[end] == '-') return false;
    i = end - 1;
  }
  return true;
}

bool is_repository(std::string_view text) {
  while (true) {
    const size_t slash = std::min(text.find('/'), text.size());
    if (!is_component(text.substr(0, slash))) return false;
    if (slash == text.size()) return true;
    text.remove_prefix(slash + 1);
  }
}

// Labels of letters, digits and inner dashes.
bool is_host(std::string_view text) {
  while (true) {
    const size_t dot = std::min(text.find('.'), text.size());
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || !is_alphanumeric(label.front()) || !is_alphanumeric(label.back()) ||
        !std::all_of(label.begin(), label.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-'; })) {
      return false;
    }
    if (dot == text.size()) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_registry(std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    if (text.substr(1, end - 1).find_first_not_of("0123456789abcdefABCDEF:.") !=
        std::string_view::npos) {
      return false;
    }
    port = text.substr(end + 1);
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    if (!is_host(text.substr(0, colon))) return false;
    port = text.substr(colon);
  }
  if (port.empty()) return true;
  return port.front() == ':' && port.size() >= 2 && port.size() <= 6 &&
         port.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

bool is_tag(std::string_view text) {
  const auto word = [](char c) { return is_alphanumeric(c) || c == '_'; };
  return !text.empty() && text.size() <= kMaxTag && word(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [word](char c) { return word(c) || c == '.' || c == '-'; });
}

// The registry of "host/...", empty when the first component is part of the repository.
std::string_view registry_of(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view first = name.substr(0, slash);
  const bool upper =
      std::any_of(first.begin(), first.end(), [](unsigned char c) { return std::isupper(c) != 0; });
  const bool has_host =
      first.find_first_of(".:") != std::string_view::npos || upper || first == "localhost";
  return has_host ? first : std::string_view();
}

Source split_selector(SourceKind kind, const std::string& text) {
  struct stat status {};
  for (size_t end = text.size(); end != std::string::npos; end = text.rfind(':', end - 1)) {
    const std::string path = text.substr(0, end);
    if (::stat(path.c_str(), &status) == 0) {
      return {kind, path, end < text.size() ? text.substr(end + 1) : ""};
    }
    if (end == 0) break;
  }
  return {kind, text, ""};
}

}  // namespace

Result<Source> parse_source(const std::string& text) {
  struct Prefix {
    std::string_view text;
    SourceKind kind;
  };
  static constexpr std::array<Prefix, 4> kPrefixes = {{
      {"oci:", SourceKind::kOciLayout},
      {"docker-archive:", SourceKind::kDockerArchive},
      {"dir:", SourceKind::kDirectory},
      {"docker://", SourceKind::kRegistry},
  }};
  for (const Prefix& prefix : kPrefixes) {
    if (!text.starts_with(prefix.text)) continue;
    const std::string rest = text.substr(prefix.text.size());
    if (rest.empty()) return image_error("image '" + text + "'", "nothing behind the colon");
    if (prefix.kind == SourceKind::kOciLayout || prefix.kind == SourceKind::kDockerArchive) {
      return split_selector(prefix.kind, rest);
    }
    return Source{prefix.kind, rest, ""};
  }
  return Source{SourceKind::kName, text, ""};
}

Result<std::string> store_name(const std::string& text) {
  const auto refuse = [&text](const char* why) {
    return image_error("image name '" + text + "'", why);
  };
  std::string_view name = text;
  std::string suffix = ":latest";
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    if (!is_sha256_digest(name.substr(at + 1))) {
      return refuse("want sha256: and 64 hex digits behind '@'");
    }
    suffix = name.substr(at);
    name = name.substr(0, at);
  }
  const size_t colon = name.rfind(':');
  if (colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos) {
    const std::string_view tag = name.substr(colon + 1);
    if (!is_tag(tag)) {
      return refuse("the tag may have letters, digits, '_', '.' and '-', at most 128");
    }
    if (!suffix.starts_with('@')) suffix = ":" + std::string(tag);
    name = name.substr(0, colon);
  }
  const std::string_view registry = registry_of(name);
  std::string_view repository = registry.empty() ? name : name.substr(registry.size() + 1);
  if (!registry.empty() && !is_registry(registry)) return refuse("the registry is no host[:port]");
  if (!is_repository(repository)) {
    return refuse("want NAME[:TAG] in lower-case letters and digits, parts joined by '/'");
  }
  if (name.size() > kMaxName) return refuse("longer than 255 characters");
  const bool hub = registry == kHub || registry == "index.docker.io";
  if (!hub) return std::string(name) + suffix;
  if (repository.starts_with(kHubLibrary)) repository.remove_prefix(kHubLibrary.size());
  return std::string(repository) + suffix;
}

std::string registry_name(std::string_view name) {
  if (!registry_of(name).empty()) return std::string(name);
  std::string full(kHub);
  full += '/';
  if (name.find('/') == std::string_view::npos) full += kHubLibrary;
  return full + std::string(name);
}

bool is_loopback(std::string_view registry_name) {
  std::string_view host = registry_of(registry_name);
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  // An address, not a name such as 127.example.org.
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace vch
