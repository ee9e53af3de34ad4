// What a seccomp profile in Docker's format says to a container with certain capabilities, on the
// guest's kernel and processor.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace vch {

// What is wrong with a profile.
struct BadSeccompProfile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct SeccompRule {
  std::string name;  // of a call
  uint32_t action = 0;
  // Of one of these all have to be true; empty: it is always so.
  std::vector<std::vector<scmp_arg_cmp>> choices;
};

struct SeccompRules {
  uint32_t default_action = 0;
  bool i386 = false;               // beside x86-64
  std::vector<std::string> names;  // of all calls that are mentioned
  std::vector<SeccompRule> rules;  // those that do something else than the default
};

// Throws BadSeccompProfile.
SeccompRules read_seccomp_rules(std::string_view json, uint64_t capabilities);

}  // namespace vch
