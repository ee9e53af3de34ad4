// --rm without a daemon: whoever is the last to leave a container that has ended removes it.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

// Being there: while it lives nobody else removes the container because it has ended. Shared.
common::Result<common::UniqueFd> attend(const Container& container);

// Ends `attended`, if there was one. Removes the container if it was made with --rm, its machine
// has ended, and nobody else attends it; of those who leave at the same time one does.
common::Status remove_if_left(const StateDir& state, const Container& container,
                              common::UniqueFd attended = {});

}  // namespace vch
