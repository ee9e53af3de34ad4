// What a ProxyCommand does: passes bytes between two descriptors and a socket.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// From `in` to the stream socket and from there to `out`, neither way waiting for the other. The
// end of `in` is passed on as a half-close; returns at the socket's end, or when `out` takes no
// more, with a thread left behind that may still read `in` and write to the socket: for a process
// that ends then. Blocks; SIGPIPE is ignored by the caller. The flags of `in` and `out`, which may
// be anything and be shared, stay as they are.
common::Status relay_stdio(int in, int out, const common::UniqueFd& socket);

}  // namespace vch
