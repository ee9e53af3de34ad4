// What is random in SSH: the kernel's.
#pragma once

#include "common/result.h"

namespace tether {

// Initialises libssh, once, before anything else of it is used.
common::Status init_ssh();

}  // namespace tether
