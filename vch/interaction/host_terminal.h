// The terminal in front of the person, handed to a session for a while.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <cstdint>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

struct WindowSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
  bool operator==(const WindowSize&) const = default;
};

// Of the first of the two that is a terminal; zeroes when none is.
WindowSize window_size(int output, int input);

// The terminal in raw mode: every key is a byte, none a signal. Its settings come back with the end
// of this object and with every other end of this process: SIGSEGV and the like restore them on
// their way, and a guardian, a forked process that does nothing but wait for our end, restores them
// after SIGKILL, provided that nobody has changed them since. One at a time; for single-threaded
// programs.
class HostTerminal {
 public:
  // Does not own `fd`.
  static common::Result<HostTerminal> take(int fd);
  HostTerminal(HostTerminal&& other) noexcept;
  HostTerminal& operator=(HostTerminal&&) = delete;
  HostTerminal(const HostTerminal&) = delete;
  ~HostTerminal();

  // Gives the terminal back, as for the time we are stopped, and takes it again.
  void leave();
  void enter();

 private:
  HostTerminal() = default;
  common::Status start_guardian();
  int fd_ = -1;  // -1: moved from
  termios saved_{};
  termios raw_{};
  common::UniqueFd guardian_;  // a word on it, or its end without one
  pid_t guardian_pid_ = -1;
};

}  // namespace vch
