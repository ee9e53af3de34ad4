// Name servers that come and go while the container runs: what DHCP said of each interface, and the
// role "resolver", which writes the container's /etc/resolv.conf again. Short-lived, since that is
// a file of the container's.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/result.h"
#include "protocol/config.h"
#include "protocol/config_network.h"
#include "tether/network/dhcp_main.h"

namespace tether {

// The descriptor that the role finds when it starts: a memfd with a ResolverTable.
inline constexpr int kResolverFd = 3;

struct ResolverRow {
  std::array<char, 16> name{};  // the interface's, ends with a NUL
  uint32_t count = 0;
  std::array<std::array<uint8_t, 4>, 3> name_servers{};
  std::array<char, 64> domain{};  // ends with a NUL
  bool operator==(const ResolverRow&) const = default;
};
// In no order that matters; rows without a name are nobody's.
using ResolverTable = std::array<ResolverRow, size_t{2} * protocol::kMaxInterfaces>;

// What a lease says; nothing where there is none.
ResolverRow resolver_row(std::string_view interface, const DhcpNews& news);

// What the configuration leaves open is taken from the interfaces, in their order: their own name
// servers and those of their leases, three at most, which is what resolvers look at; and domains.
void merge_resolver(protocol::pb::Network& network, const ResolverTable& table);

// Writes `text` into the container's /etc/resolv.conf, the same inode, if that still has what it
// was given last; what somebody in the container made of it is left alone. `last` is a file of the
// agent's own which knows that.
common::Status rewrite_resolv_conf(int root, std::string_view text, const char* last);

inline constexpr const char* kLastResolvConf = "/run/resolv.conf";

// Never returns. The exit code is 0 or an errno.
[[noreturn]] void resolver_main();

}  // namespace tether
