// Where the configuration comes from, apart from its hardware: tests give their own bytes.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "tether/boot/boot.h"

namespace tether {

struct ConfigSource {
  const char* name = "";
  // ENODEV and ENOENT let the next source be tried; any other failure is the configuration's.
  std::function<common::Result<std::string>()> read;
  // Tells the source's owner that its configuration is no good; may be empty.
  std::function<void(const StageError&)> report;
};

// Asks the sources in order, in a helper, which splits off the secrets; then reads and checks the
// rest here. Without any configuration the failure names what each source said. `has_ssh`: of this
// agent; without it nobody could log in to a secure link, which is refused.
StageResult<BootConfig> read_config_from(std::span<const ConfigSource> sources, bool has_ssh);

}  // namespace tether
