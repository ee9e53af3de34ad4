// Who lives: a lock that a process holds by an open file description, and that its children
// inherit. An F_OFD lock, so asking takes nothing and a pid means nothing.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

enum class LockKind {
  kExclusive,  // one holder, nobody else
  kShared,     // any number of shared holders
};

// Takes the lock, creating the file; EWOULDBLOCK when somebody has it. The descriptor is
// close-on-exec; clear that to hand the lock to a child.
common::Result<common::UniqueFd> take_lock(const std::string& path,
                                           LockKind kind = LockKind::kExclusive);
// Takes it exclusively, waiting for as long as others have it: for what is held for moments.
common::Result<common::UniqueFd> wait_for_lock(const std::string& path);
// Whether anybody has it. False when there is no such file.
bool is_locked(const std::string& path);
// Whether the process `pid` itself has it: what a pid read from a file must pass before it is
// believed. False for processes that may not be looked at.
bool holds_lock(int pid, const std::string& path);

}  // namespace vch
