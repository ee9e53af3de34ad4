// From a command line to a QEMU that answers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"
#include "vch/machine/qemu_process.h"
#include "vch/machine/qmp.h"

namespace vch {

struct MonitorSockets {
  common::UniqueFd listening;  // QEMU inherits it: the descriptor's number is for its command line
  common::UniqueFd client;
};

common::Result<MonitorSockets> make_monitor(const Container& container);

// Executes `command` in the container's directory and returns once QEMU has made its devices.
// `inherited`: what it gets beside the monitor, machine.lock among it, which the caller holds. The
// error's detail holds QEMU's own words; the machine has ended then. Bounded by 60 s.
common::Result<Qmp> launch_qemu(const Container& container, const std::vector<std::string>& command,
                                std::vector<common::UniqueFd> inherited, MonitorSockets monitor,
                                std::optional<Companion> companion = {});

// Ends a QEMU that another has succeeded, without asking it: it has nothing to write any more, and
// at an orderly end it would remove its pid file by the path that it started with, which leads to
// its successor's by now.
common::Status end_succeeded_qemu(const Container& container);

}  // namespace vch
