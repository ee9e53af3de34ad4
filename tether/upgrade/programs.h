// Programs that take the agent's place: each lies on a small file system of its own, which is
// read-only from before it is first executed, so that nobody can change what was verified, not
// even who has its /proc/PID/exe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "common/unique_fd.h"
#include "tether/supervisor/spawn.h"

namespace tether {

inline constexpr size_t kMostProgram = size_t{8} << 20U;

// What a program finds that was executed in another's place (argv: "tether", "resume", ...).
struct Resumed {
  int state = -1;          // memfd, sealed: an AgentState
  int old_program = -1;    // to go back to; -1: this is the old one, which is back
  uint32_t place = 0;      // where this program lies
  uint32_t old_place = 0;  // where the other one does
  std::string_view why;    // where it is back: why
};

class Programs {
 public:
  virtual ~Programs() = default;
  // A new, empty file, to be filled by whom it is given to. `errno_value` when there is none.
  virtual common::UniqueFd make(int& errno_value) = 0;
  // It is complete, and from now on nobody can change it. 0 or an errno; EBUSY: somebody still
  // could.
  virtual int protect() = 0;
  // spawn_role() of it.
  virtual pid_t spawn(const char* role, std::span<const FdSlot> fds) = 0;
  // It is not wanted after all.
  virtual void discard() = 0;
  // Becomes it; `state` stays open. Returns only where that fails: an errno.
  virtual int execute(int state) = 0;
  // In a program that was executed so, or that is back: it is the agent from now on, and what the
  // other one took goes.
  virtual void settle(const Resumed& resumed) = 0;
};

Programs& kernel_programs();

}  // namespace tether
