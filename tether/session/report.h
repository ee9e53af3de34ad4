// What a launcher and the process it clones tell PID 1. Async-signal-safe.
#pragma once

#include "protocol/stage.h"
#include "tether/session/launch.h"

namespace tether {

// The session's process exists; with a TTY its master (>= 0) goes along.
void report_cloned(pid_t pid, int master);
void report_failure(protocol::Stage stage, int errno_value, const char* object);

}  // namespace tether
