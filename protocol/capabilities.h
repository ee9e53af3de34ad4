// Capabilities by name, and those that a container has.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/container_vm.pb.h"

namespace protocol {

// Alone in Sandbox.capabilities: no capability at all.
inline constexpr std::string_view kNoCapabilities = "NONE";

// "CAP_CHOWN": its bit number.
std::optional<unsigned> capability_number(std::string_view name);
// The other way round, without "CAP_"; empty for a number that this version does not know.
std::string_view capability_name(unsigned number);

// Sets, by bit.
uint64_t all_capabilities();      // that this version knows
uint64_t default_capabilities();  // Docker's
// Those of a container. Names that are none count for nothing.
uint64_t capabilities_of(const ::tether::v1::Sandbox& sandbox);

}  // namespace protocol
