#include "vch/machine/vsock_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "common/io.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::UniqueFd;

// VHOST_VSOCK_SET_GUEST_CID of linux/vhost.h, a header that is no C++.
constexpr unsigned long kSetGuestCid = _IOW(0xAF, 0x60, uint64_t);
constexpr uint32_t kFirstCid = 3;  // 0 to 2: hypervisor, loopback, host
constexpr uint32_t kCids = UINT32_MAX - kFirstCid;
constexpr int kCidAttempts = 1000;
constexpr size_t kDigits = 8;

std::string tools_directory() {
  const char* cache = ::getenv("XDG_CACHE_HOME");
  // The XDG specification has relative paths ignored.
  if (cache != nullptr && *cache == '/') return std::string(cache) + "/tether/tools/bin";
  const char* home = ::getenv("HOME");
  return (home == nullptr ? std::string() : std::string(home)) + "/.cache/tether/tools/bin";
}

}  // namespace

Result<uint32_t> choose_cid(const std::string& container_id,
                            const std::function<int(uint32_t)>& take) {
  uint32_t offset = 0;
  std::from_chars(container_id.data(), container_id.data() + std::min(container_id.size(), kDigits),
                  offset, 16);
  for (int attempt = 0; attempt < kCidAttempts; ++attempt) {
    const uint32_t cid = kFirstCid + (offset + static_cast<uint32_t>(attempt)) % kCids;
    const int error = take(cid);
    if (error == 0) return cid;
    if (error != EADDRINUSE) {
      return make_error(error, "give vsock CID " + std::to_string(cid) + " to", container_id);
    }
  }
  return make_error(EADDRINUSE, "find a vsock CID for", container_id,
                    std::to_string(kCidAttempts) + " in a row are in use on this host");
}

Result<std::string> find_vsock_program() {
  if (auto found = find_program(kVsockProgram); found.has_value()) return found;
  const std::string tool = tools_directory() + "/" + kVsockProgram;
  if (::access(tool.c_str(), X_OK) == 0) return tool;
  return make_error(ENOENT, "find the program", kVsockProgram,
                    "not in PATH, not " + tool + "; `scripts/setup run` puts it there");
}

std::vector<std::string> vsock_program_command(const std::string& program) {
  // It knows one machine alone, so every container's may have the same CID.
  return {program,      "--guest-cid", std::to_string(kFirstCid), "--socket", kVsockDeviceSocket,
          "--uds-path", kVsockSocket};
}

Result<VsockDevice> open_vsock_device(const std::string& container_id) {
  VsockDevice device;
  auto kernel = common::open_file(kVhostVsock, O_RDWR);
  if (kernel.has_value()) {
    device.fd = std::move(*kernel);
    // Taken here and kept by the descriptor: nobody else gets it before QEMU has started.
    ASSIGN_OR_RETURN(device.cid, choose_cid(container_id, [&device](uint32_t cid) {
                       const uint64_t wide = cid;
                       return ::ioctl(device.fd.get(), kSetGuestCid, &wide) == 0 ? 0 : errno;
                     }));
    return device;
  }
  auto program = find_vsock_program();
  if (program.has_error()) {
    return make_error(ENODEV, "make a vsocket", "",
                      kernel.error().object + ": " + kernel.error().code.message() +
                          ", and no program " + kVsockProgram +
                          ", which `scripts/setup run` fetches; as root: modprobe vhost_vsock");
  }
  device.program = std::move(*program);
  device.fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!device.fd) return common::errno_error("socket", kVsockDeviceSocket);
  return device;
}

}  // namespace vch
