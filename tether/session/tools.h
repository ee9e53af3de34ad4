// The agent's own programs in the container: busybox for a shell where the image has none.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

// The busybox of the initramfs, copied to sealed memory: no way leads from the running program to
// the agent's own file. ENOENT when the ISO was built without one.
common::Result<common::UniqueFd> open_busybox();

}  // namespace tether
