// What an exec session is launched with: what was asked for, and the primary's where nothing was.
#pragma once

#include "common/result.h"
#include "protocol/config.h"
#include "protocol/control.pb.h"

namespace tether {

// Environment variables are added to the primary's or replace them; an empty user or working
// directory is the primary's. A debug shell is root's, below "/", and needs no command. EINVAL
// names the field that cannot be honoured.
common::Result<protocol::pb::LaunchSpec> make_exec_spec(const protocol::pb::ContainerVm& config,
                                                        const protocol::pb::Exec& wanted);

}  // namespace tether
