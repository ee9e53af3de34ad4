// Running one more session to its end, for those commands that do.
#pragma once

#include "protocol/control.pb.h"
#include "vch/cli/context.h"
#include "vch/interaction/attach.h"

namespace vch {

// Asks for the session and stays with it: the exit code is its own, or Docker's for one that could
// not start, after a line that says why. With exec.detach it comes back as soon as it runs.
common::Result<int> run_exec(Context& context, const Container& container,
                             const tether::v1::Request& message, AttachOptions options);

}  // namespace vch
