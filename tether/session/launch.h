// Starting a session's first process. PID 1 never prepares a container process itself: it executes
// its own binary again as a launcher (argv "tether", "launch"), which holds none of PID 1's memory
// or descriptors, builds or joins the namespaces and clones the session's process as a child of
// PID 1 (CLONE_PARENT). A launcher that is given kLaunchRequestsFd joins and then stays, and clones
// a process for each request; any other clones one, of its own specification, and ends.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

namespace tether {

// File descriptors that a launcher finds when it starts.
inline constexpr int kLaunchStdinFd =
    0;  // 0, 1, 2: the session's own, a TTY's slave three times; /dev/null where there is none
inline constexpr int kLaunchStatusFd = 3;    // LaunchReports: a pipe, or SOCK_SEQPACKET for those
                                             // that come with a descriptor; CLOEXEC in the end
inline constexpr int kLaunchSpecFd = 4;      // memfd: serialised tether.v1.LaunchSpec. Of one that
                                             // stays: the primary's
inline constexpr int kLaunchJoinFd = 5;      // pidfd of whose namespaces to join; none: new ones
inline constexpr int kLaunchRequestsFd = 6;  // SOCK_SEQPACKET of LaunchRequests; none: only one
                                             // session, whose 0 to 4 are there. Its end is the
                                             // launcher's
inline constexpr int kLaunchSealedFd = 7;    // any; that it is there says: only sessions with the
                                             // agent's own seccomp filter, installed beforehand

// Where the agent keeps things in its own mount namespace.
inline constexpr const char* kContainerRoot =
    "/run/tether/root";  // the assembled root, volumes included
inline constexpr const char* kContainerCgroup = "/sys/fs/cgroup/container";

// One message to a launcher that stays. Beside it come the session's kLaunchStatusFd, its
// specification, and those of its 0, 1 and 2 whose bits are set in `stdio`, in this order.
struct LaunchRequest {
  uint32_t stdio = 0;
  uint32_t outside = 0;  // 1: not into the container's pid namespace, nobody in there is to see it
};
inline constexpr size_t kLaunchRequestFds = 5;  // at most

enum class LaunchEvent : uint32_t {
  kStarted = 1,  // pid; the session's process, which is a child of PID 1, has done nothing yet that
                 // could end it; with a TTY that it was not given its master follows
  kTerminal = 2,   // the message carries the pty master
  kFailed = 3,     // stage, errno_value, object; no process is left (or it is about to exit)
  kTerminals = 4,  // the primary's launcher, before there is a process: carries an O_PATH
                   // descriptor of the container's /dev/pts/ptmx
};

// One message. End of file without kFailed, after kStarted, means that execve worked.
struct LaunchReport {
  LaunchEvent event{};
  uint32_t stage = 0;  // protocol::Stage
  int32_t errno_value = 0;
  int32_t pid = 0;                 // in PID 1's namespace
  std::array<char, 240> object{};  // NUL-terminated
};
static_assert(sizeof(LaunchReport) == 256);

// The launcher's main: never returns normally.
[[noreturn]] void launcher_main();

}  // namespace tether
