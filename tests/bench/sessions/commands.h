// The commands of session_peer. Each gives the exit code and has said on stderr why it is not 0.
#pragma once

#include <cstddef>

namespace bench {

enum class Start { kWhenConnected, kWhenCalled };

// Runs `command` (ended by a null pointer) each time that the host has connected to the port, a
// /dev/vport*, with a socket as its stdin and stdout that leads there: dropbear works on nothing
// else. The port is closed and opened again in between, so that nothing of one connection reaches
// the next. `kWhenCalled`: the host stays connected, the command begins with the first byte that
// comes; when it has ended and the port is open again, there is a line "again" on stdout. Gives
// only failures.
int serve(const char* port, Start start, char* const* command);

// Connects to QEMU's UNIX socket, waits until the SSH server behind it greets, connecting again
// while it does not, and passes the socket through stdout, as ssh's ProxyUseFdpass wants it.
int dial(const char* path);

// Passes a socket likewise that whoever listens at `path` hands to each who connects.
int borrow(const char* path);

}  // namespace bench
