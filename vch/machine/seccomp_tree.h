// Programs for seccomp that are short and come to a decision in few steps: when a filter is
// installed, which every exec pays for, the kernel translates all of it and tries it on each call.
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
  // The program looks at an argument first. So the kernel, which wants to know what depends on the
  // number alone, is soon done with trying; and asks at each call instead.
  bool rare = false;
};

// Decides by ranges of numbers, and goes on to `rest` for all that has no decision.
SeccompProgram make_seccomp_tree(const std::vector<SeccompCalls>& processors,
                                 const SeccompProgram& rest);

}  // namespace vch
