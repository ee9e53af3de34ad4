// What an attach came to, in words.
#pragma once

#include "common/result.h"
#include "protocol/stdio.h"
#include "vch/interaction/attach.h"
#include "vch/machine/container_store.h"

namespace vch {

// The session's own end. `dropped`: bytes of output that were gone before we came.
AttachEnd session_end(const protocol::StdioExit& exit, uint64_t dropped);
// The machine has ended and the session's end never came over the link: its journal knows it,
// unless the machine died. The output has been read on from there as far as it went; `missing`:
// journal records that were lost.
common::Result<AttachEnd> machine_end(const Container& container, uint32_t session,
                                      uint64_t dropped, uint64_t missing);

}  // namespace vch
