// The policies of the interfaces as nftables rules: a table `inet tether` of our own, which leaves
// alone whatever a container that may do so makes beside it.
#pragma once

#include <vector>

#include "protocol/config.h"
#include "tether/network/netlink.h"

namespace tether {

// One batch, which the kernel takes whole or not at all, in place of whatever policies there were
// before; when every interface is open there is no table afterwards. What is not let in is refused,
// not swallowed, so that nobody waits for it; but by CLOSED, which says nothing.
std::vector<NetlinkMessage> firewall_messages(const protocol::pb::Network& network);

}  // namespace tether
