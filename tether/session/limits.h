// Resource limits of a session's processes (setrlimit(2)).
#pragma once

#include "common/result.h"
#include "protocol/container_vm.pb.h"

namespace tether {

// Of the caller, and whoever it becomes: open files 1 Mi; core, locked memory and processes
// unlimited; then what the session asks for. `object` names the limit that cannot be had.
common::Status set_limits(const ::tether::v1::Session& session);

}  // namespace tether
