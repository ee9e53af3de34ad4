// Byte links: where an endpoint gets its descriptor from, again and again.
#pragma once

#include <functional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace serial_transport {

// Opens the link: a descriptor that can be polled, with O_NONBLOCK set. Called again, with
// back-off, whenever the link was lost. Must not block.
using LinkOpener = std::function<common::Result<common::UniqueFd>()>;

// Connects to a UNIX stream socket, e.g. QEMU's chardev.
LinkOpener unix_socket_link(std::string path);

// The virtio-serial port with this name (/sys/class/virtio-ports/*/name): port numbers move, names
// do not.
LinkOpener virtio_port_link(std::string port_name);

// One descriptor that is already open; each opening gives a duplicate.
LinkOpener fd_link(common::UniqueFd fd);

}  // namespace serial_transport
