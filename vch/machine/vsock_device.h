// What a machine's vsocket is on the host: the kernel's (/dev/vhost-vsock), or where there is none,
// the program vhost-device-vsock in a process beside QEMU.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

inline constexpr const char* kVhostVsock = "/dev/vhost-vsock";
inline constexpr const char* kVsockProgram = "vhost-device-vsock";
// In the container's directory: where the program takes "CONNECT port" from the host's side, and
// where QEMU reaches it.
inline constexpr const char* kVsockSocket = "vsock.sock";
inline constexpr const char* kVsockDeviceSocket = "vsock-device.sock";

struct VsockDevice {
  common::UniqueFd fd;  // QEMU's: the kernel's device, or a socket that is yet to be connected
  uint32_t cid = 0;     // the machine's address on this host; 0: not the kernel's, but `program`'s
  std::string program;  // path of vhost-device-vsock
};

// The kernel's device if it can be opened, with a CID that no other machine on this host has, else
// the program. ENODEV when there is neither.
common::Result<VsockDevice> open_vsock_device(const std::string& container_id);

// In the PATH, else where scripts/setup puts it, ${XDG_CACHE_HOME:-~/.cache}/tether/tools/bin.
common::Result<std::string> find_vsock_program();

// Its command line, to be run in the container's directory.
std::vector<std::string> vsock_program_command(const std::string& program);

// The first CID that `take` accepts, from one on that the container's id gives. `take` returns 0 or
// an errno: EADDRINUSE leads to the next CID, any other ends the search.
common::Result<uint32_t> choose_cid(const std::string& container_id,
                                    const std::function<int(uint32_t)>& take);

}  // namespace vch
