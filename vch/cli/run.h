// `vch run`, from flags to exit code.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vch/cli/context.h"
#include "vch/cli/disk_flags.h"
#include "vch/cli/follow.h"
#include "vch/cli/network.h"
#include "vch/machine/container_config.h"
#include "vch/machine/limits.h"
#include "vch/machine/machine.h"
#include "vch/machine/process_options.h"

namespace vch {

struct RunFlags {
  RunOptions options;
  std::string name;
  LimitOptions limits;
  bool auto_remove = false;
  bool detach = false;
  bool forward_signals = true;
  std::string detach_keys;
  std::string accelerator = "auto";
  std::string iso;
  std::string on_panic = "stop";
  std::string upgrade_key;  // a file; empty: a key of the container's own
  std::string link = "virtio-serial";
  std::string link_security;  // "proof" or "ssh"; empty: as the link wants it
  DiskFlags disks;
  NetworkFlags network;
  ProcessOptions process;
  std::vector<std::string> log_options;
  std::string image;
};

// Everything from the image to the container's directory. Prints progress, starts nothing.
common::Result<Container> create_container(const Context& context, const RunFlags& flags);
// Starts the machine; prints one line when KVM was wanted, tried now, and is not to be had.
common::Status start_container(const Context& context, const Container& container,
                               const LaunchOptions& options = {});
// As `docker run -d`: prints `said` no sooner than the command runs. Gives the exit code: the
// command's if it could not be started.
common::Result<int> see_it_start(const Context& context, const Container& container,
                                 const std::string& said);
// From a started machine to the exit code of its command, and to the end of a container that is to
// be removed.
common::Result<int> follow_to_the_end(const Context& context, const Container& container,
                                      const FollowOptions& options);

}  // namespace vch
