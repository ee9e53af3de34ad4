// VMware's guestinfo: named texts that the hypervisor keeps beside the machine.
//
// guestinfo.tether.config            the configuration; overwritten with "-" when it was read
// guestinfo.tether.config.encoding   "base64" (also when it is missing) or "gzip+base64"
// guestinfo.tether.state             "starting", "running", "restarting", "exited"; or "failed",
//                                    also when the configuration is refused
// guestinfo.tether.error             of a failure: stage, object and why
// guestinfo.tether.started, .stopped, .exit_code, .restarts, .address.INTERFACE
//                                    see guestinfo_state.h; written by guestinfo_main.h
#pragma once

#include <string>
#include <string_view>

#include "tether/boot/backdoor.h"

namespace tether {

// ENODEV without a backdoor or a channel through it, ENOENT without a configuration, EBADMSG when
// it cannot be decoded.
common::Result<std::string> read_guestinfo_config(BackdoorPort& port, size_t limit);

// As plain text, cut to 512 bytes.
common::Status set_guestinfo(BackdoorPort& port, std::string_view name, std::string_view value);

}  // namespace tether
