// The end of a container, with what was made for it alone.
#pragma once

#include "common/result.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"

namespace vch {

// As ContainerStore::remove(), also of one that has migrated since it was found; `volumes`: its
// anonymous volumes go as well, unless another container names them by now.
common::Status remove_container(const StateDir& state, const Container& container, bool volumes);

}  // namespace vch
