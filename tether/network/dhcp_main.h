// The DHCP process ("tether dhcp"): one for all interfaces, unprivileged but for the network, with
// an empty root. It alone parses what servers send; PID 1 gets fixed-size news.
#pragma once

#include <array>
#include <cstdint>

namespace tether {

// What it finds when it starts.
inline constexpr int kDhcpReportFd = 3;  // SOCK_SEQPACKET: one DhcpNews a message
inline constexpr int kDhcpConfigFd = 4;  // memfd: serialised tether.v1.ContainerVm without secrets

// An interface has a lease, again or another one; or, without an address, it has none any more.
struct DhcpNews {
  uint32_t interface = 0;  // its index in the configuration
  uint32_t prefix_length = 0;
  std::array<uint8_t, 4> address{};
  uint32_t name_server_count = 0;
  std::array<std::array<uint8_t, 4>, 3> name_servers{};
  std::array<char, 64> domain{};  // ends with a NUL
  int32_t failed = 0;             // errno: the kernel refused address or route
};

// "10.1.2.3/24", ends with a NUL; empty without an address.
std::array<char, 32> lease_text(const DhcpNews& news);

// What PID 1 sends: an interface that came later, or, by its name alone, one to let go of, whose
// lease is given back and whose address is taken away.
struct DhcpOrder {
  uint32_t interface = 0;  // kHotInterface and above
  uint32_t forget = 0;
  std::array<char, 16> name{};  // ends with a NUL
};
// Interfaces of the configuration have lower numbers.
inline constexpr uint32_t kHotInterface = 64;

// SIGTERM: gives the leases back and ends.
[[noreturn]] void dhcp_main();

}  // namespace tether
