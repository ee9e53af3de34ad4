#include "vch/network/host_ports.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>

#include "common/unique_fd.h"

namespace vch {
namespace {

using common::Result;
using common::UniqueFd;

Result<UniqueFd> take(PublishedPort& port) {
  UniqueFd fd(::socket(AF_INET, (port.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!fd) return common::errno_error("socket", host_side(port));
  const int yes = 1;  // as QEMU: connections of an earlier life do not keep the port
  if (!port.udp) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port.host_port);
  if (!port.host_address.empty()) {
    ::inet_pton(AF_INET, port.host_address.c_str(), &address.sin_addr);
  }
  socklen_t size = sizeof address;
  const bool taken = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     (port.udp || ::listen(fd.get(), 1) == 0);
  if (!taken) {
    const int why = errno;
    return common::make_error(why, "publish port", host_side(port),
                              why == EADDRINUSE ? "another container or program has it" : "");
  }
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return common::errno_error("getsockname", host_side(port));
  }
  port.host_port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

common::Status choose_host_ports(std::vector<PublishedPort>& ports) {
  std::vector<UniqueFd> held;  // all at once: none is chosen twice, and one given twice is found
  for (const bool named : {true, false}) {
    for (PublishedPort& port : ports) {
      if ((port.host_port != 0) != named) continue;
      ASSIGN_OR_RETURN(held.emplace_back(), take(port));
    }
  }
  return {};
}

}  // namespace vch
