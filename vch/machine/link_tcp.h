// The host end of a containerVM's UART as a TCP socket, as vSphere gives serial ports: QEMU listens
// on 127.0.0.1 and takes one client at a time. Where, the file link.tcp in the container's
// directory says: "127.0.0.1:40123\n". Whoever is on the line between reads and changes what he
// likes: such a link is a secure one (vch/secure-link).
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

inline constexpr char kUartTcp[] = "uart-tcp";  // ContainerSpec::link
inline constexpr char kLinkTcpFile[] = "link.tcp";

// A socket that listens, for QEMU to inherit; link.tcp says where.
common::Result<common::UniqueFd> make_link_listener(const Container& container);

// Non-blocking, and still connecting. ENOENT when there is no such file, EBADMSG when it says
// nothing of use.
common::Result<common::UniqueFd> open_link_tcp(const Container& container);

}  // namespace vch
