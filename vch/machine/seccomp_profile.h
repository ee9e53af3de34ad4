// Seccomp profiles in Docker's format, as programs for the guest's kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

// Docker's default profile, which the agent has compiled in for Docker's default capabilities
// (seccomp_default.json).
std::string_view default_seccomp_profile();

// An array of struct sock_filter for x86-64 and, where the profile has it, i386: what
// Sandbox.filter takes. `capabilities`, by bit, and the guest's kernel decide about rules with
// conditions. Names of calls that libseccomp does not know are passed over, as Docker does. Calls
// that are newer than any that the profile names fail with ENOSYS where the default is a refusal:
// a C library then takes the older call. EINVAL: `object` (the file) and which member is wrong.
enum class NewerCalls { kAbsent, kAsDefault };  // the latter: like all that is not named
common::Result<std::string> compile_seccomp_profile(std::string_view json,
                                                    const std::string& object,
                                                    uint64_t capabilities,
                                                    NewerCalls newer = NewerCalls::kAbsent);

}  // namespace vch
