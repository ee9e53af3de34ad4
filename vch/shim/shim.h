// The shim: the one process that owns a containerVM's link. It has QEMU's link pipe, or
// the machine's vsocket, as the host end of serial-transport and lends connections to `vch`
// clients over shim.sock. It has no state but what is on disk or in the guest: kill it at any time,
// the next client starts another.
//
// shim.sock, a UNIX stream socket, mode 0600. A client sends one line, "CONNECT <service>
// <class>\n" (class: control, interactive or bulk), and gets "OK\n" once the guest has accepted, or
// "ERROR <reason>\n" and the end. After OK the socket is the connection: bytes both ways,
// half-close is half-close, an end without half-close (EOF on a reset connection) is told apart by
// the service's own protocol.
//
// Signals: SIGTERM or SIGINT, the host goes down: the machine is ended cleanly (clean_end.h),
// served until it has, and not started again. kMakeWay: it goes at once, and the machine runs on.
#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

// "Your successor comes." An older shim, which does not know it, dies of it, which is as good: it
// has no state. The other way round it matters: an older `vch` says this by SIGTERM, and when it is
// to replace this shim, or to migrate its machine, it ends the container.
inline constexpr int kMakeWay = SIGUSR1;

// The shim's main: serves until the machine has ended. Takes shim.lock; returns 0 at once when
// another shim has it. Exit code 0, or 1 after one line on stderr.
int shim_main(const std::string& container_directory);

// Starts the container's shim if there is none: `program` is executed as "<program> shim
// <directory>" in a session of its own, stderr appended to shim.log. Returns when shim.sock
// accepts, or with ENOTCONN once the machine has ended.
common::Status ensure_shim(const Container& container, const std::string& program);
// Ends the shim if there is one, and starts another: how a new `program` comes into its place.
// Those who are connected come back by themselves. Blocks for as long as a shim may take to end.
common::Status replace_shim(const Container& container, const std::string& program);
// Ends the shim if there is one, and keeps others from coming up while what it gives is held. Who
// is connected comes back once it is not. EBUSY after some seconds of others that start.
common::Result<common::UniqueFd> hold_shim_off(const Container& container);
// The shim's pid while it runs, for display only.
std::optional<int> shim_pid(const Container& container);

// One connection to a service in the guest, through the shim, which is started if missing. Blocks
// until the guest has accepted, however long it boots; ENOTCONN when the machine has ended,
// ECONNREFUSED with the guest's reason, EINTR after a signal.
common::Result<common::UniqueFd> connect_service(const Container& container,
                                                 const std::string& program,
                                                 std::string_view service,
                                                 std::string_view traffic_class);

}  // namespace vch
