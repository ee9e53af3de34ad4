// `-p`, as Docker has it.
#include <charconv>
#include <optional>

#include "protocol/address.h"
#include "vch/network/network_flags.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;

struct Range {
  uint32_t first = 0, last = 0;
  uint32_t size() const { return last - first + 1; }
};

std::optional<uint32_t> parse_port(std::string_view text) {
  uint32_t port = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), port);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  if (port < 1 || port > 65535) return std::nullopt;
  return port;
}

// "80", "8000-8010".
std::optional<Range> parse_range(std::string_view text) {
  const size_t dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

}  // namespace

std::string host_side(const PublishedPort& port) {
  return (port.host_address.empty() ? "0.0.0.0" : port.host_address) + ":" +
         std::to_string(port.host_port);
}

std::string container_side(const PublishedPort& port) {
  return std::to_string(port.port) + (port.udp ? "/udp" : "/tcp");
}

Result<std::vector<PublishedPort>> parse_port_flag(const std::string& text) {
  const auto refuse = [&text](const std::string& why) {
    return make_error(EINVAL, "-p", "'" + text + "'", why);
  };
  const auto refuse_address = [&refuse](const std::string& address) {
    return refuse("the host's address '" + address +
                  "': want an IPv4 address, QEMU forwards no other");
  };
  // An IPv6 address: its colons part nothing.
  if (text.starts_with('[')) return refuse_address(text.substr(1, text.find(']') - 1));
  std::string rest = text;
  PublishedPort port;
  if (const size_t slash = rest.find('/'); slash != std::string::npos) {
    const std::string protocol = rest.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp") return refuse("want tcp or udp behind the '/'");
    port.udp = protocol == "udp";
    rest.erase(slash);
  }
  const size_t colon = rest.rfind(':');
  const auto inside = parse_range(rest.substr(colon == std::string::npos ? 0 : colon + 1));
  if (!inside) return refuse("want [[ADDRESS:]HOST:]PORT[/tcp|udp], ports 1 to 65535 or ranges");
  std::string outside_text = colon == std::string::npos ? "" : rest.substr(0, colon);
  if (const size_t before = outside_text.rfind(':'); before != std::string::npos) {
    port.host_address = outside_text.substr(0, before);
    outside_text.erase(0, before + 1);
    const auto address = protocol::parse_address(port.host_address);
    if (!address || address->size() != 4) return refuse_address(port.host_address);
  }
  std::optional<Range> outside;
  if (!outside_text.empty()) {
    outside = parse_range(outside_text);
    if (!outside) return refuse("the host's port '" + outside_text + "': want 1 to 65535");
    if (outside->size() != inside->size()) return refuse("want two ranges of the same size");
  }
  std::vector<PublishedPort> ports;
  for (uint32_t i = 0; i < inside->size(); ++i) {
    port.port = static_cast<uint16_t>(inside->first + i);
    port.host_port = outside ? static_cast<uint16_t>(outside->first + i) : uint16_t{0};
    ports.push_back(port);
  }
  return ports;
}

}  // namespace vch
