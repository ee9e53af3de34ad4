// The role "network": a card that was plugged in meanwhile becomes one of the container's networks,
// or one of them is let go of. Short-lived; PID 1 is told in a fixed size what came of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/config.h"
#include "tether/boot/boot.h"
#include "tether/boot/devices.h"
#include "tether/network/network_system.h"

namespace tether {

// The descriptor that it finds when it starts: a memfd with a serialised tether.v1.Request, a
// ConnectNetwork or a DisconnectNetwork, whose place a Failure or a NetworkChange takes.
inline constexpr int kNetworkChangeFd = 3;
inline constexpr size_t kInterfaceName = 16;  // with a NUL behind

// Texts end with a NUL.
struct NetworkChange {
  uint32_t connected = 0;  // else disconnected
  uint32_t dhcp = 0;
  uint32_t count = 0;  // of addresses
  std::array<char, kInterfaceName> name{};
  std::array<std::array<char, 48>, 8> addresses{};  // those that are known, with their lengths
};
// Whether it may be believed: whoever wrote it shares its file with the link process.
bool is_sound(const NetworkChange& change);

// `network`, the present one, becomes what it is afterwards. Doing again what was done is no
// failure. EEXIST for a name or card in use, ENOENT when there is no interface of that name.
StageResult<void> connect_interface(protocol::pb::Network& network,
                                    const protocol::pb::Interface& interface, NetworkSystem& system,
                                    const DeviceWait& wait);
StageResult<void> disconnect_interface(protocol::pb::Network& network, std::string_view name,
                                       NetworkSystem& system);

// Keeps the present network for the role, which is never the only one to know it.
void remember_network(const protocol::pb::Network& network);
// What was remembered last: name servers are the configuration's own, never a lease's.
common::Result<protocol::pb::Network> present_network();

// Never returns. The exit code is 0 or an errno.
[[noreturn]] void network_change_main();

}  // namespace tether
