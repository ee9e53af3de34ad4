// Network cards that come and go while the machine runs, in the one slot that is kept for them.
#pragma once

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

// The card appears in the machine with its MAC. EBUSY when the slot has one already.
common::Status plug_network(const Container& container, const NetworkAttachment& network);
// The container has let go of it. One that the machine has had from its start loses its cable.
common::Status unplug_network(const Container& container, const NetworkAttachment& network);

}  // namespace vch
