#include "protocol/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace protocol {

size_t IpAddress::size() const { return family == AF_INET ? 4 : 16; }

std::optional<IpAddress> parse_address(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  for (const int family : {AF_INET, AF_INET6}) {
    address.family = family;
    if (::inet_pton(family, copy.c_str(), address.bytes.data()) == 1) return address;
  }
  return std::nullopt;
}

std::optional<IpPrefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned most = static_cast<unsigned>(address->size()) * 8;
  if (slash == std::string_view::npos) return IpPrefix{*address, most};
  unsigned length = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + slash + 1, end, length);
  if (parsed.ec != std::errc() || parsed.ptr != end || length > most) return std::nullopt;
  return IpPrefix{*address, length};
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto parsed = std::from_chars(digits, digits + 2, mac[i], 16);
    if (parsed.ec != std::errc() || parsed.ptr != digits + 2) return std::nullopt;
    if (i + 1 < mac.size() && digits[2] != ':') return std::nullopt;
  }
  if ((mac[0] & 1U) != 0 || mac == MacAddress{}) return std::nullopt;
  return mac;
}

std::string to_text(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.family, address.bytes.data(), text.data(), text.size());
  return text.data();
}

std::string to_text(const IpPrefix& prefix) {
  return to_text(prefix.address) + "/" + std::to_string(prefix.length);
}

std::string to_text(const MacAddress& mac) {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                mac[3], mac[4], mac[5]);
  return text.data();
}

IpPrefix network_of(IpPrefix prefix) {
  for (size_t bit = prefix.length; bit < prefix.address.size() * 8; ++bit) {
    auto& byte = prefix.address.bytes[bit / 8];
    byte = static_cast<uint8_t>(byte & ~(0x80U >> bit % 8));
  }
  return prefix;
}

bool contains(const IpPrefix& network, const IpAddress& address) {
  if (network.address.family != address.family) return false;
  return network_of({address, network.length}) == network_of(network);
}

}  // namespace protocol
