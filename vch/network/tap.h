// An interface of the host for a machine on one of its bridges.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// Makes a tap device, up and in the bridge; it is gone when the last copy of the descriptor is
// closed. Needs CAP_NET_ADMIN: EPERM says so. ENODEV when there is no such bridge, ENOENT without
// /dev/net/tun.
common::Result<common::UniqueFd> open_tap(const std::string& bridge);

}  // namespace vch
