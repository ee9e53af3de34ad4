// Process 1 of a container that asked for an init: it reaps what nobody else does and passes
// signals on, and its end is that of the command, whose exit code it takes over (128 + n when
// signal n ended it).
#pragma once

#include <cstdint>

namespace tether {

// Clones: returns in the new process, which is to execute the command, in a process group of its
// own, in the foreground when there is a terminal. The caller becomes the init and does not return.
// and keeps these capabilities. An errno when there is no new process. Nothing here allocates.
int split_off_init(bool terminal, uint64_t capabilities);

}  // namespace tether
