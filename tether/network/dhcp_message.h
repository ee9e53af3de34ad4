// DHCP messages as bytes (RFC 2131, 2132). What is read comes from the network: everything is
// bounded, and what makes no sense is no message.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/address.h"

namespace tether {

using Ipv4 = std::array<uint8_t, 4>;
inline constexpr Ipv4 kNoAddress{};

enum class DhcpType : uint8_t {
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7
};

struct DhcpQuestion {
  DhcpType type{};
  uint32_t transaction = 0;
  protocol::MacAddress mac{};
  Ipv4 own{};     // an address that is in use already, or none
  Ipv4 wanted{};  // likewise
  Ipv4 server{};  // whom it is for, or none
  std::string hostname;
};

struct DhcpAnswer {
  DhcpType type{};
  uint32_t transaction = 0;
  protocol::MacAddress mac{};
  Ipv4 address{};
  Ipv4 server{};
  unsigned prefix_length = 24;
  Ipv4 gateway{};                  // kNoAddress: none
  std::vector<Ipv4> name_servers;  // at most 3, as a resolver takes
  std::string domain;              // empty, or what may stand in resolv.conf
  uint32_t lease_s = 0;
  uint32_t renew_s = 0;  // 0: not said
  uint16_t mtu = 0;      // 0: not said
};

// The whole IP packet, from port 68 to port 67 of everybody.
std::vector<uint8_t> encode(const DhcpQuestion& question);
// From an IP packet; nothing when it is none from a DHCP server to a client.
std::optional<DhcpAnswer> decode_dhcp(std::span<const uint8_t> packet);

}  // namespace tether
