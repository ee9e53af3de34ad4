// VMware's guestinfo: named texts that the hypervisor keeps beside the machine.
//
// guestinfo.tether.config            the configuration; overwritten with "-" when it was read
// guestinfo.tether.config.encoding   "base64" (also when it is missing) or "gzip+base64"
// guestinfo.tether.state             written when the configuration is refused: "failed"
// guestinfo.tether.error             written then: stage, object and why
//
// Nothing else is written: how a container goes is told to the journal.
#pragma once

#include <string>
#include <string_view>

#include "tether/boot/backdoor.h"

namespace tether {

// ENODEV without a backdoor, ENOENT without a configuration, EBADMSG when it cannot be decoded.
common::Result<std::string> read_guestinfo_config(BackdoorPort& port, size_t limit);

// Best effort: nobody fails for want of a reader.
void set_guestinfo(BackdoorPort& port, std::string_view name, std::string_view value);

}  // namespace tether
