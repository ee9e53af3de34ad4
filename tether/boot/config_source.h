// Where the configuration comes from, apart from its hardware: tests give their own bytes.
#pragma once

#include <functional>
#include <string>

#include "tether/boot/boot.h"

namespace tether {

// Runs `source` in a helper, which splits off the secrets; then reads and checks the rest here.
StageResult<BootConfig> read_config_from(
    const std::function<common::Result<std::string>()>& source);

}  // namespace tether
