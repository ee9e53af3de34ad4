// The role "verify": copies a program out of what was uploaded and says whether the copy is one
// that the configuration's key has signed. Without a right, a network or a file of its own.
#pragma once

#include "common/result.h"

namespace tether {

// What it finds when it starts.
inline constexpr int kVerifyUploadFd = 3;   // upload.h; whoever sent it may still change it
inline constexpr int kVerifyConfigFd = 4;   // memfd: serialised tether.v1.ContainerVm
inline constexpr int kVerifyProgramFd = 5;  // empty, for the copy, which nobody else writes to

// EBADMSG: the upload is no such file; EFBIG: too large; else as verify_file().
common::Status copy_and_verify(int upload, int config, int program);

// Never returns. The exit code is 0, when the copy is good, or an errno.
[[noreturn]] void verify_main();

}  // namespace tether
