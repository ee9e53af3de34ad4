// Our own signals as something to read, for the time of an attach.
#pragma once

#include <signal.h>

#include <optional>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// While it lives, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 come out of next() instead
// of acting, but for those that whoever started us had ignored; and SIGPIPE is ignored. The end
// drops those that were not read, which were the session's, and restores everything. For
// single-threaded programs.
class HostSignals {
 public:
  static common::Result<HostSignals> take(bool forward);
  HostSignals(HostSignals&& other) noexcept;
  HostSignals& operator=(HostSignals&&) = delete;
  HostSignals(const HostSignals&) = delete;
  ~HostSignals();

  int fd() const { return fd_.get(); }  // -1 when none is taken
  std::optional<int> next();

 private:
  HostSignals() = default;
  bool active_ = false;
  common::UniqueFd fd_;
  sigset_t mask_{};
  struct sigaction pipe_action_ {};
};

}  // namespace vch
