// What can be learned from a link's descriptor. For the endpoint's own use.
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "serial-transport/types.h"

namespace serial_transport {

enum class LinkState { kOpen, kConnecting, kListening, kHungUp };
LinkState state_of(int fd);

// Of a terminal: bytes may change, and its speed unless it is a pseudo-terminal.
LineTraits terminal_traits(int fd);

// Bytes written to it that have not left yet, as far as the kernel tells; 0 when it does not.
size_t queued_bytes(int fd);

// The peer of a connected socket is the host, or the socket is none of vsock.
bool is_from_host(int socket);
// The same of the peer's address.
bool is_from_host(const sockaddr_storage& peer);

bool is_socket(int fd);

}  // namespace serial_transport
