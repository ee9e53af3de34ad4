// A volume is one machine's at a time, or several readers'.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"

namespace vch {

struct VolumeInUse {
  common::UniqueFd lock;  // to be held for as long as the disk is used
  std::string disk;
  std::string repair;  // what was repaired on it, as was said on stderr
};

// Locks the mount's volume for the container and looks after its file system: see
// check_ext4_disk(). EBUSY names who has it. What people should know is said on stderr.
common::Result<VolumeInUse> take_volume(const Container& container, const VolumeMount& mount,
                                        const StateDir& state);
// The same look at what the container's root is written to, whose machine.lock is the caller's.
// Gives what was repaired.
common::Result<std::string> check_root_disk(const Container& container);

}  // namespace vch
