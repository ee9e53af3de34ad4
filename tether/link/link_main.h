// The role "tether link": everything that parses the outside, in a process of its own that may die.
#pragma once

namespace tether {

// Serves until the supervisor's socket closes. The descriptors are those of link_messages.h.
// Returns the process's exit code: 0, or 1 when it could not begin.
int link_main();

}  // namespace tether
