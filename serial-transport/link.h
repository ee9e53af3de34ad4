// Byte links: where an endpoint gets its descriptors from, again and again.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "common/result.h"
#include "common/unique_fd.h"
#include "serial-transport/types.h"

namespace serial_transport {

// What an opener gives: a descriptor that can be polled, with O_NONBLOCK set. It may be
//   - a link that is open: a UART, a port, a connected socket;
//   - a socket that is still connecting: the endpoint waits until it is connected;
//   - a socket that listens: the endpoint takes its clients, one at a time, from the host alone
//     when it is a vsocket. The next client waits until the one before has gone, has been silent,
//     or has not proved itself within a second.
// A terminal that is no pseudo-terminal counts as a UART and its speed is looked up; every terminal
// is made raw.
struct Link {
  Link(common::UniqueFd both_ways) : fd(std::move(both_ways)) {}  // implicit: the usual case
  Link(common::UniqueFd in, common::UniqueFd out) : fd(std::move(in)), out_fd(std::move(out)) {}
  common::UniqueFd fd;
  common::UniqueFd out_fd;  // for writing, when `fd` is for reading alone
  LineTraits traits;
};

// Opens the link. Called again, with back-off, whenever the link was lost. Must not block.
using LinkOpener = std::function<common::Result<Link>()>;

// A serial port such as /dev/ttyS1, raw 8N1 without flow control at `speed` bits a second, one of
// the speeds that termios names from 1200 to 4000000.
LinkOpener uart_link(std::string device, unsigned speed = 115200);

// The virtio-serial port with this name (/sys/class/virtio-ports/*/name): port numbers move, names
// do not.
LinkOpener virtio_port_link(std::string port_name);

// Guest: listens on this vsock port, for the host alone. VMware's VMCI sockets are the same.
LinkOpener vsock_listen_link(unsigned port);
// Host: connects to a guest's vsock port.
LinkOpener vsock_link(unsigned guest_cid, unsigned port);
// Host: the same where the hypervisor gives the guest's vsock as a UNIX socket that wants
// "CONNECT port" first (Firecracker, cloud-hypervisor, vhost-device-vsock).
LinkOpener vsock_proxy_link(std::string path, unsigned port);

// Connects to a UNIX stream socket, e.g. QEMU's chardev.
LinkOpener unix_socket_link(std::string path);
// Listens on a UNIX stream socket of its own, for this user alone; one that is there is replaced.
LinkOpener unix_listen_link(std::string path);

// One descriptor that is already open, of any kind above; each opening gives a duplicate.
LinkOpener fd_link(common::UniqueFd fd);
// The same of two, one for each direction, e.g. a program's standard input and output.
LinkOpener fd_pair_link(common::UniqueFd in, common::UniqueFd out);

// Makes the terminal raw, 8N1, no flow control, with the modem lines ignored. `speed` 0 leaves the
// speed as it is. Nothing else about links needs this: the endpoint does it by itself.
common::Status make_raw(int tty, unsigned speed, const std::string& name);

}  // namespace serial_transport
