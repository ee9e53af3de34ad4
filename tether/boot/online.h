// Changing the limits while the container runs, and using what the machine was given meanwhile.
#pragma once

#include "common/result.h"
#include "protocol/config.h"

namespace tether {

// The descriptor that the role "limits" finds when it starts: a memfd with serialised
// tether.v1.Resources; if it fails, it holds a tether.v1.Failure instead afterwards.
inline constexpr int kLimitsFd = 3;

// Waits until so many CPUs can be brought online below `sys`. ENXIO: there are less after that
// time, or, at once, there never can be as many.
common::Status await_cpus(const std::string& sys, uint32_t wanted, int timeout_ms);

// Of the CPUs below `sys`, so many are online afterwards, the lowest numbers first, as far as there
// are any; 0: all. CPU 0 always is. Blocks for as long as CPUs take to start.
common::Status set_online_cpus(const std::string& sys, uint32_t wanted);

// `update` over `now`: what is 0 there stays.
protocol::pb::Resources merge_limits(protocol::pb::Resources now,
                                     const protocol::pb::Resources& update);

// The role's main: never returns. The exit code is 0 or an errno.
[[noreturn]] void limits_main();

}  // namespace tether
