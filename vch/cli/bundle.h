// What somebody needs to find out why a container failed, in one file.
#pragma once

#include "vch/cli/context.h"

namespace vch {

// A tar file at `path`, replaced as a whole: inspect.json, events.txt, the newest of console.log,
// qemu.log and vsock.log, host.txt. Works whatever state the container is in; what cannot be had is
// named in its place. Nothing in it is a secret: no key, no output of the container, no
// environment.
common::Status write_bundle(const Context& context, const Container& container,
                            const std::string& path);

}  // namespace vch
