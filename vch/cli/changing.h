// A container whose description is about to be replaced, by a command that may change its machine
// as well.
#pragma once

#include "protocol/config.h"
#include "vch/cli/context.h"

namespace vch {

struct Changing {
  Container container;    // as it is once the lock is held
  common::UniqueFd lock;  // nobody else changes it meanwhile
  protocol::pb::ContainerVm config;
};

common::Result<Changing> begin_change(const Context& context, const std::string& name);

}  // namespace vch
