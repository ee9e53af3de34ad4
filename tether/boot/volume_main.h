// The role "volume": mounts a volume in the running container, or unmounts one.
#pragma once

namespace tether {

// The descriptor that it finds when it starts: a memfd with a serialised tether.v1.Request, a
// MountVolume or an UnmountVolume, whose place a Failure takes.
inline constexpr int kVolumeFd = 3;

// Never returns. The exit code is 0 or an errno.
[[noreturn]] void volume_main();

}  // namespace tether
