// The packet socket that DHCP is spoken by, below the IP of the machine, which has no address yet.
#pragma once

#include <cstddef>

#include "common/result.h"
#include "common/unique_fd.h"
#include "tether/network/dhcp_message.h"

namespace tether {

inline constexpr size_t kMostDhcpPacket = 2048;

// Of the interface with this index, 0: of none. Non-blocking; IP packets, of which those that are
// for no DHCP client never arrive.
common::Result<common::UniqueFd> open_dhcp_socket(unsigned index);

// To everybody there. Best effort: a question that is lost is asked again.
void send_dhcp(int socket, unsigned index, const DhcpQuestion& question);

}  // namespace tether
