// From the configuration to a network: interfaces found, renamed, brought up, with their addresses
// and routes.
#pragma once

#include "protocol/config.h"
#include "tether/boot/boot.h"
#include "tether/boot/devices.h"
#include "tether/network/network_system.h"

namespace tether {

// Waits for interfaces until the configuration's deadline, by `wait`. An interface's address by
// DHCP is not its business.
StageResult<void> configure_network(const protocol::pb::Network& network, NetworkSystem& system,
                                    const DeviceWait& wait);

// The same for the real kernel, in a helper process. Nothing is done where no interface is named.
StageResult<void> set_up_network(const protocol::pb::Network& network);

}  // namespace tether
