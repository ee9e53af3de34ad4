// The machine's power button: how a host that speaks with nobody in it has it end (QMP:
// system_powerdown).
#pragma once

#include <array>
#include <cstddef>

#include "common/unique_fd.h"

namespace tether {

inline constexpr size_t kMostPowerButtons = 2;  // ACPI knows two kinds, and a board may have both
using PowerButtons = std::array<common::UniqueFd, kMostPowerButtons>;

// Those of the machine's input devices that have such a key: none where there are none. What is
// pressed from here on is kept until it is read; whoever else reads a device gets it as well.
// Nothing blocks or allocates, whatever a container may have put in a node's place.
PowerButtons open_power_buttons(const char* folder = "/dev/input");

enum class ButtonNews { kNothing, kPressed, kGone };
// Reads what one says, 16 events at most. kGone: it says nothing any more, for good.
ButtonNews read_power_button(int button);

}  // namespace tether
