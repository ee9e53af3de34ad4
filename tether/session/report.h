// What a session's process, and the launcher that clones it, tell PID 1. Async-signal-safe.
#pragma once

#include "protocol/stage.h"
#include "tether/boot/boot.h"
#include "tether/session/launch.h"

namespace tether {

// The caller is the session's process. The kernel adds its pid.
void report_started();
void report_terminal(int master);
// `status`: of the session, when it is not the caller's own.
void report_failure(protocol::Stage stage, int errno_value, const char* object,
                    int status = kLaunchStatusFd);
void report_failure(const StageError& error, int status = kLaunchStatusFd);  // allocates

}  // namespace tether
