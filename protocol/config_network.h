// Checking the network's part of the ContainerVm message.
#pragma once

#include <string_view>

#include "common/result.h"
#include "protocol/container_vm.pb.h"

namespace protocol {

inline constexpr int kMaxInterfaces = 8;

// As check_config: the first field with a value that cannot be honoured, by its name.
common::Status check_network(const ::tether::v1::Network& network);

// What may stand in a line of /etc/hosts or /etc/resolv.conf: no blank, no newline, at most 253
// bytes.
bool good_host_name(std::string_view name);

}  // namespace protocol
