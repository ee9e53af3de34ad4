// QEMU's own network: a NAT in its process, with a DHCP server, a name server that asks the host's,
// and the host itself under an address.
#pragma once

#include <cstdint>
#include <string>

namespace vch {

// Its n-th is 10.0.(2+n).0/24 and fec0:0:0:n::/64.
struct UserNetwork {
  explicit UserNetwork(uint32_t subnet);
  std::string network, address, gateway, name_server;  // "10.0.2.0/24", "10.0.2.15/24", ...
  std::string network6, address6, gateway6;
};

}  // namespace vch
