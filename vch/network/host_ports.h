// Ports of this host, before a machine takes them.
#pragma once

#include <vector>

#include "common/result.h"
#include "vch/network/network.h"

namespace vch {

// Gives every port without a number on the host a free one, and finds out whether the others can be
// had: EADDRINUSE, EACCES. They are free again when this returns, so somebody may still be quicker
// than the machine; QEMU says so then.
common::Status choose_host_ports(std::vector<PublishedPort>& ports);

}  // namespace vch
