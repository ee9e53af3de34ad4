// The role "volume": mounts a volume in the running container, or unmounts one.
#pragma once

#include <array>
#include <cstdint>

namespace tether {

// The descriptor that it finds when it starts: a memfd with a serialised tether.v1.Request, a
// MountVolume or an UnmountVolume, whose place a Failure takes.
inline constexpr int kVolumeFd = 3;

// What takes the request's place when it is done. Texts are cut, and end with a NUL.
struct VolumeChange {
  uint32_t what = 0;  // protocol::VolumeNews; 0: nothing, it was done before
  std::array<char, 252> path{};
  std::array<char, 252> repair{};  // what was repaired on its disk before
};

// Never returns. The exit code is 0 or an errno.
[[noreturn]] void volume_main();

}  // namespace tether
