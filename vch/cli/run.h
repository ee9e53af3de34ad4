// `vch run`, from flags to exit code.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vch/cli/context.h"
#include "vch/machine/container_config.h"

namespace vch {

struct RunFlags {
  RunOptions options;
  std::string name;
  std::string memory = "256m";
  uint32_t cpus = 1;
  bool auto_remove = false;
  bool detach = false;
  bool forward_signals = true;
  std::string accelerator = "auto";
  std::string iso;
  std::string link = "virtio-serial";
  std::vector<std::string> volumes;  // "NAME:PATH[:ro]"
  std::string image;
};

common::Result<VolumeMount> parse_volume_flag(const std::string& text);

// Everything from the image to the container's directory. Prints progress, starts nothing.
common::Result<Container> create_container(const Context& context, const RunFlags& flags);
// Starts the machine; prints one line when KVM was wanted, tried now, and is not to be had.
common::Status start_container(const Context& context, const Container& container);

}  // namespace vch
