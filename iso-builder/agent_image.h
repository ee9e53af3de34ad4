// Whether a file can be the first and only program of a machine without libraries.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

// Refuses what is no x86-64 ELF executable, is cut short, or needs a dynamic loader (which the
// error names). `name` stands in the error.
common::Status check_agent_image(std::string_view bytes, const std::string& name);

}  // namespace iso_builder
