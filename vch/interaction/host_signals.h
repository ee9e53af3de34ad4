// Our own signals as something to read, for the time of an attach.
#pragma once

#include <signal.h>

#include <array>
#include <optional>
#include <span>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// What is meant for the session when it reaches us.
inline constexpr std::array kForwardedSignals = {SIGINT,  SIGTERM, SIGHUP,
                                                 SIGQUIT, SIGUSR1, SIGUSR2};

// While it lives, the signals taken come out of next() instead of acting, but for those that
// whoever started us had ignored; and SIGPIPE is ignored. The end drops those that were not read
// and restores everything. For single-threaded programs.
class HostSignals {
 public:
  static common::Result<HostSignals> take(std::span<const int> numbers);
  HostSignals(HostSignals&& other) noexcept;
  HostSignals& operator=(HostSignals&&) = delete;
  HostSignals(const HostSignals&) = delete;
  ~HostSignals();

  int fd() const { return fd_.get(); }
  std::optional<int> next();

 private:
  HostSignals() = default;
  bool active_ = false;
  common::UniqueFd fd_;
  sigset_t mask_{};
  struct sigaction pipe_action_ {};
};

}  // namespace vch
