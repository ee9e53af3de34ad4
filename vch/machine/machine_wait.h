// Waiting for what becomes of a machine.
#pragma once

#include "common/result.h"
#include "vch/machine/container_state.h"
#include "vch/machine/container_store.h"

namespace vch {

// Returns once no machine lives for the container: its disks and locks are free. ETIMEDOUT after
// `timeout_ms`.
common::Status wait_for_machine_end(const Container& container, int timeout_ms);

// Returns once the command runs or the machine's life is over, whichever comes first, with the
// state then. Bounded by the machine's own life.
common::Result<ContainerState> wait_for_start(const Container& container);

}  // namespace vch
