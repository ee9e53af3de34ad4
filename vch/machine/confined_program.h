// Programs that read what a container wrote.
#pragma once

#include "vch/machine/program.h"

namespace vch {

// As run_program(), and the program can gain no privileges, use 2 GiB of memory and one processor
// for as long as the timeout, and, where the kernel has Landlock, read the system's own files and
// write `writable` alone.
common::Result<ProgramEnd> run_confined(const std::vector<std::string>& argv,
                                        const std::string& writable, int timeout_ms);

}  // namespace vch
