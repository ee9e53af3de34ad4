// What a Linux bzImage says about itself (Documentation/x86/boot.rst).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

struct KernelImage {
  std::string version;            // "6.1.0-tether", without the builder's name and date
  uint32_t max_command_line = 0;  // bytes, without the NUL
};

// Refuses what is no bzImage, is too old to take a command line of more than 255 bytes or an
// initramfs by size, or is cut short. `name` stands in the error.
common::Result<KernelImage> read_kernel_image(std::string_view bytes, const std::string& name);

}  // namespace iso_builder
