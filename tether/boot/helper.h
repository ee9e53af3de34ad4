// Work that may block, or that touches what the container may have prepared, is done by a forked
// process which exits: it can be given up on, and PID 1 keeps nothing of it.
#pragma once

#include <functional>

#include "tether/boot/boot.h"

namespace tether {

// Runs `work` in a child that shares everything but memory, and gives its result. ETIMEDOUT, and
// the child is killed, after `timeout_ms`; a child that dies of a signal or an exception is an EIO.
// Waits for that child alone, so that nothing else may be reaping at the same time.
StageResult<void> run_helper(protocol::Stage stage, const char* what, int timeout_ms,
                             const std::function<StageResult<void>()>& work);

}  // namespace tether
