// Network addresses as text and as bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace protocol {

struct IpAddress {
  int family = 0;                   // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};  // in network order; the first size() of them
  size_t size() const;
  bool operator==(const IpAddress&) const = default;
};

struct IpPrefix {
  IpAddress address;  // with the host's part, if it has one
  unsigned length = 0;
  bool operator==(const IpPrefix&) const = default;
};

using MacAddress = std::array<uint8_t, 6>;

// "10.0.2.15", "fec0::15"; no zone, no brackets.
std::optional<IpAddress> parse_address(std::string_view text);
// "10.0.2.15/24"; without a length it is that of a single host.
std::optional<IpPrefix> parse_prefix(std::string_view text);
// "02:00:5e:10:00:01", of a single interface: not a group's, not all zero.
std::optional<MacAddress> parse_mac(std::string_view text);

std::string to_text(const IpAddress& address);
std::string to_text(const IpPrefix& prefix);
std::string to_text(const MacAddress& mac);

// The prefix without the host's part.
IpPrefix network_of(IpPrefix prefix);
bool contains(const IpPrefix& network, const IpAddress& address);

}  // namespace protocol
