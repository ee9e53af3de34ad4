// The byte links of the configuration, opened once for the machine's life: the supervisor holds
// them, each link process gets them handed down.
#pragma once

#include <array>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/config.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

// In the configuration's order of preference, without those that this machine does not have.
struct LinkDevices {
  std::array<common::UniqueFd, kMaxLinkDevices> fds;
  size_t count = 0;
};

// virtio-serial ports by name, UARTs raw at their speed, vsockets that listen. When there is none,
// waits for the ports up to `timeout_ms` each; then the first candidate's error. A speed that no
// UART has is EINVAL at once.
common::Result<LinkDevices> open_link_devices(const protocol::pb::ContainerVm& config,
                                              int timeout_ms);

}  // namespace tether
