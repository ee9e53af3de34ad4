// A unified kernel image: one EFI program that holds kernel, initramfs and command line.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

struct UnifiedImage {
  std::string bytes;
  // Where in it things lie, at multiples of 2048; what is in front of them is the stub.
  size_t stub_size = 0;
  size_t kernel_offset = 0;
  size_t initramfs_offset = 0;
};

struct UnifiedParts {
  std::string_view stub;  // systemd's linuxx64.efi.stub, or the first `stub_size` bytes of an image
  std::string_view kernel, initramfs, command_line;
};

// Adds sections to the stub as systemd-stub(7) describes them; those that it has by these names are
// dropped. `stub_name` stands in the error.
common::Result<UnifiedImage> make_unified_image(const UnifiedParts& parts,
                                                const std::string& stub_name);

// A stub without what an image added to it: the same bytes from the file of the package and from
// the beginning of any image that was made of it. `name` stands in the error.
common::Result<std::string> plain_stub(std::string_view stub, const std::string& name);

// Whether a bzImage can be started by UEFI: it has a PE header (CONFIG_EFI_STUB).
bool starts_by_uefi(std::string_view kernel);

}  // namespace iso_builder
