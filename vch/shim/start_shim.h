// Starting a missing shim.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

// A socket connected to the container's shim, which is started if missing; ENOTCONN once the
// machine has ended. Blocks until then; EINTR after a signal.
common::Result<common::UniqueFd> connect_shim(const Container& container,
                                              const std::string& program);

}  // namespace vch
