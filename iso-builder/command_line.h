// The kernel's command line: ours by default, and what any must satisfy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

inline constexpr std::string_view kDefaultCommandLine =
    // Kernel messages go to the first serial port, which the host keeps as console.log...
    "console=ttyS0 "
    // ...and only errors do: a character costs a trap into the hypervisor.
    "quiet "
    // A kernel that has faulted is of no use: end the machine at once, so that the host notices.
    // What its watchdog has to say comes as an NMI.
    "panic=-1 oops=panic unknown_nmi_panic "
    // The hypervisor's clocks are right; checking them against each other takes a tenth of the
    // boot.
    "no_timer_check tsc=reliable "
    // For kernels other than ours, which test every cipher at each start and distrust the
    // processor.
    "cryptomgr.notests random.trust_cpu=on "
    // Limits are cgroup v2's; nobody may bind a controller to a v1 hierarchy and so take it away.
    "cgroup_no_v1=all";

// Without blanks around it. Refuses control characters and bytes beyond ASCII (isolinux has lines,
// no quoting), "initrd=" (isolinux's own), and more than `max` bytes, the kernel's limit, less what
// isolinux adds.
common::Result<std::string> check_command_line(std::string_view text, uint32_t max);

}  // namespace iso_builder
