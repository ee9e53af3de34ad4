#include "iso-builder/command_line.h"

#include <algorithm>

#include "iso-builder/layout.h"

namespace iso_builder {
namespace {

// isolinux puts " BOOT_IMAGE=/path initrd=/path " around the text, and reads no longer lines than
// this.
constexpr size_t kLoaderAdds =
    kKernelPath.size() + kInitramfsPath.size() + sizeof("BOOT_IMAGE=/ initrd=/ ");
constexpr uint32_t kLoaderMax = 2047;

}  // namespace

common::Result<std::string> check_command_line(std::string_view text, uint32_t max) {
  const auto refuse = [](std::string why) {
    return common::Error{{}, "command line", "", std::move(why)};
  };
  const auto bad =
      std::find_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; });
  if (bad != text.end()) {
    return refuse("byte " + std::to_string(bad - text.begin()) + " is '" +
                  common::escape(std::string_view(&*bad, 1)) +
                  "'; only printable ASCII on one line can be passed to the kernel");
  }
  const size_t begin = text.find_first_not_of(' ');
  text = begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  if (text.starts_with("initrd=") || text.find(" initrd=") != std::string_view::npos) {
    return refuse("contains initrd=, which the boot loader sets itself; leave it out");
  }
  const size_t limit = std::min(max, kLoaderMax) - std::min<size_t>(kLoaderAdds, max);
  if (text.size() > limit) {
    return refuse(std::to_string(text.size()) + " bytes are too long; the kernel takes " +
                  std::to_string(limit) + " beside what the boot loader adds");
  }
  return std::string(text);
}

}  // namespace iso_builder
