#include "vch/network/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vch {
namespace {

using common::UniqueFd;

constexpr const char* kTun = "/dev/net/tun";
constexpr const char* kNeedsRoot = "run vch as root, or use --network user, which needs no right";

const char* hint_for(int why) { return why == EPERM || why == EACCES ? kNeedsRoot : ""; }

common::Error failure(const char* operation, const std::string& object) {
  const int why = errno;
  return common::make_error(why, operation, object, hint_for(why));
}

void set_name(ifreq& request, const std::string& name) {
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
}

}  // namespace

common::Result<UniqueFd> open_tap(const std::string& bridge) {
  const std::string place = "/sys/class/net/" + bridge;
  if (bridge.size() >= IFNAMSIZ || bridge.find('/') != std::string::npos ||
      ::access(place.c_str(), F_OK) != 0) {
    return common::make_error(ENODEV, "find bridge", bridge,
                              "make it with `ip link add " + bridge + " type bridge`");
  }
  if (::access((place + "/bridge").c_str(), F_OK) != 0) {
    return common::make_error(EINVAL, "find bridge", bridge, "it is an interface, not a bridge");
  }
  UniqueFd tap(::open(kTun, O_RDWR | O_CLOEXEC));
  if (!tap) {
    const int why = errno;
    return common::make_error(why, "open", kTun,
                              why == ENOENT ? "load the kernel module tun" : hint_for(why));
  }
  ifreq request{};
  set_name(request, "vch%d");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) return failure("make tap device", bridge);
  const std::string name = request.ifr_name;
  const UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control) return failure("socket", name);
  ifreq joining{};
  set_name(joining, bridge);
  joining.ifr_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (::ioctl(control.get(), SIOCBRADDIF, &joining) != 0) return failure("join bridge", bridge);
  ifreq up{};
  set_name(up, name);
  if (::ioctl(control.get(), SIOCGIFFLAGS, &up) != 0) return failure("bring up", name);
  up.ifr_flags = static_cast<short>(up.ifr_flags | IFF_UP);
  if (::ioctl(control.get(), SIOCSIFFLAGS, &up) != 0) return failure("bring up", name);
  return tap;
}

}  // namespace vch
