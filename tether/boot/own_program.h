// The agent's program as those see it who run it again.
#pragma once

namespace tether {

// Where PID 1 executes itself again: a read-only mount of its program, which mount_early() makes
// and nothing but the agent sees. A process of the container's may reach the program through
// /proc/PID/exe of an init or of what is about to become a session; by this mount it can neither
// write to it nor take its modes away. An upgrade (tether/upgrade/programs.h) puts its own there.
inline constexpr const char* kOwnProgram = "/agent";

}  // namespace tether
