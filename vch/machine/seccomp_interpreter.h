// For tests: what the kernel does with a filter.
#pragma once

#include <gtest/gtest.h>
#include <linux/seccomp.h>

#include <cstring>

#include "vch/machine/seccomp_tree.h"

namespace vch {

// The instructions that seccomp allows, no others.
inline uint32_t interpret(const SeccompProgram& code, const seccomp_data& data,
                          size_t* steps = nullptr) {
  uint32_t accumulator = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    const sock_filter& at = code[i];
    bool taken = false;
    if (steps != nullptr) ++*steps;
    switch (at.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + at.k, sizeof accumulator);
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= at.k;
        continue;
      case BPF_RET | BPF_K:
        return at.k;
      case BPF_JMP | BPF_JA:
        i += at.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = accumulator == at.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        taken = accumulator > at.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = accumulator >= at.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        taken = (accumulator & at.k) != 0;
        break;
      default:
        ADD_FAILURE() << "instruction " << i << " is " << at.code;
        return 0;
    }
    i += taken ? at.jt : at.jf;
  }
  ADD_FAILURE() << "the program has no end";
  return 0;
}

}  // namespace vch
