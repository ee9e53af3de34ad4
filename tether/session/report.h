// What a session's process, and the launcher that clones it, tell PID 1. Async-signal-safe. Who may
// trace the process can say the same in its stead: PID 1 believes nothing that it has not looked
// at.
#pragma once

#include <sys/types.h>

#include "protocol/stage.h"
#include "tether/boot/boot.h"
#include "tether/session/launch.h"

namespace tether {

// The caller is the session's process; `pid`: its own in PID 1's namespace.
void report_started(pid_t pid);
void report_terminal(int master);
void report_terminals(int ptmx);
// `status`: of the session, when it is not the caller's own.
void report_failure(protocol::Stage stage, int errno_value, const char* object,
                    int status = kLaunchStatusFd);
void report_failure(const StageError& error, int status = kLaunchStatusFd);  // allocates

}  // namespace tether
