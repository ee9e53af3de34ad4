// Starting a session's first process. PID 1 never prepares a container process itself: it executes
// its own binary again as a launcher (argv "tether", "launch"), which holds none of PID 1's memory
// or descriptors, reads the specification, builds or joins the namespaces and clones the session's
// process as a child of PID 1 (CLONE_PARENT).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

namespace tether {

// File descriptors that a launcher finds when it starts.
inline constexpr int kLaunchStdinFd =
    0;  // 0, 1, 2: the session's own when it has no TTY, else /dev/null
inline constexpr int kLaunchStatusFd = 3;  // SOCK_SEQPACKET of LaunchReports, CLOEXEC in the end
inline constexpr int kLaunchSpecFd = 4;    // memfd: serialised tether.v1.LaunchSpec
inline constexpr int kLaunchJoinFd = 5;    // pidfd of whose namespaces to join; none: new ones

// Where the agent keeps things in its own mount namespace.
inline constexpr const char* kContainerRoot =
    "/run/tether/root";  // the assembled root, volumes included
inline constexpr const char* kContainerCgroup = "/sys/fs/cgroup/container";

enum class LaunchEvent : uint32_t {
  kCloned = 1,  // pid is the session's process, a child of PID 1; with a TTY the message carries
                // the pty master
  kFailed = 2,  // stage, errno_value, object; no process is left (or it is about to exit)
};

// One message. After kCloned, end of file without kFailed means that execve worked.
struct LaunchReport {
  LaunchEvent event{};
  uint32_t stage = 0;  // protocol::Stage
  int32_t errno_value = 0;
  pid_t pid = 0;
  std::array<char, 240> object{};  // NUL-terminated
};
static_assert(sizeof(LaunchReport) == 256);

// The launcher's main: never returns normally.
[[noreturn]] void launcher_main();

}  // namespace tether
