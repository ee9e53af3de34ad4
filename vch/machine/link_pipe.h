// The host end of a containerVM's port: QEMU's `pipe` chardev, two FIFOs in the container's
// directory, link.in to the guest and link.out from it.
//
// Not a socket, since QEMU (7.2, and later ones) loses one of a virtserialport's 128 buffers with
// each client that leaves while the guest's output waits: after 128 such ends the port is dead for
// the life of the machine (hw/char/virtio-serial-bus.c, discard_throttle_data()). A FIFO's clients
// come and go without QEMU seeing it. What the one before left in it is noise to the transport.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

inline constexpr char kLinkPipe[] = "link";

struct LinkPipe {
  common::UniqueFd from_guest, to_guest;  // non-blocking
};

// Before QEMU starts. Those of an earlier life are replaced.
common::Status make_link_pipe(const Container& container);

// `directory` is the container's, opened. ENXIO when no QEMU has them open, ENOENT when there are
// none. Reading ends with QEMU.
common::Result<LinkPipe> open_link_pipe(const common::UniqueFd& directory);

}  // namespace vch
