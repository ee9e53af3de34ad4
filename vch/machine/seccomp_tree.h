// Programs for seccomp that come to a decision in few steps: the kernel takes each of a filter's
// steps for each call when it is installed, which every exec pays for.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace vch {

using SeccompProgram = std::vector<sock_filter>;

// What a program says to a call by its number alone; none when it looks at arguments.
std::optional<uint32_t> decision_of(const SeccompProgram& program, uint32_t processor,
                                    uint32_t number);

// A processor's calls, from 0 on: a decision, or none where `rest` is to be asked.
struct SeccompCalls {
  uint32_t processor = 0;  // AUDIT_ARCH_X86_64
  std::vector<std::optional<uint32_t>> decisions;
  std::optional<uint32_t> newer;  // calls that come after those
};

// Decides by ranges of numbers, and goes on to `rest` for all that has no decision.
SeccompProgram make_seccomp_tree(const std::vector<SeccompCalls>& processors,
                                 const SeccompProgram& rest);

}  // namespace vch
