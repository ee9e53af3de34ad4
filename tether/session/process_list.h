// The container's processes, as `top` shows them: what /proc says, bounded and escaped.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "protocol/control.pb.h"

namespace tether {

// The descriptor that the role "top" finds when it starts: a memfd, for serialised
// tether.v1.Processes.
inline constexpr int kProcessListFd = 3;

// Of one process: the texts of its files. Nothing when they make no sense, or when it lives in no
// pid namespace of its own and so is none of the container's.
std::optional<tether::v1::Process> describe_process(std::string_view stat, std::string_view status,
                                                    std::string_view command_line);

// Those below `proc` whose cgroup file names `group` ("/container") or one below it, in order of
// their pids. At most kMostProcesses; command lines shrink to names when there is no room for them.
common::Result<tether::v1::Processes> list_processes(const std::string& proc,
                                                     std::string_view group);

inline constexpr size_t kMostProcesses = 16384;
inline constexpr size_t kMostCommand = 4096;
inline constexpr size_t kMostCommands = 512 * 1024;  // all of them together

// The role's main: never returns. The exit code is 0 or an errno.
[[noreturn]] void process_list_main();

}  // namespace tether
