// A program on its way to the agent: the file is the program, its signature, and the signature's
// length in four bytes, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tether/upgrade/programs.h"

namespace tether {

inline constexpr size_t kMostSignature = 128;  // DER of P-256 takes 72 at most
inline constexpr size_t kSignatureLength = 4;
inline constexpr size_t kMostUpload = kMostProgram;

}  // namespace tether
