// The same bytes without a transport, to compare with.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "serial-transport/link.h"

namespace serial_transport {

// An opener for "port:NAME", "uart:DEVICE" or "uart:DEVICE:SPEED".
LinkOpener named_link(const std::string& name);

enum class RawTask { kSend, kTake };
// A process of its own that opens the link and moves so many bytes of the pattern to or from it, as
// fast as the device takes or gives them. Through the pipe that this returns it says "ready\n" when
// it has opened the link, and "done\n" or what went wrong at the end.
common::Result<common::UniqueFd> start_raw(const std::string& link, RawTask task, uint64_t bytes);

}  // namespace serial_transport
