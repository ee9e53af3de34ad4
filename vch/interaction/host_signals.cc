#include "vch/interaction/host_signals.h"

#include <sys/signalfd.h>

#include <utility>

namespace vch {

common::Result<HostSignals> HostSignals::take(std::span<const int> numbers) {
  HostSignals signals;
  sigset_t taken;
  ::sigemptyset(&taken);
  for (const int number : numbers) {
    struct sigaction action {};
    ::sigaction(number, nullptr, &action);
    if (action.sa_handler != SIG_IGN) ::sigaddset(&taken, number);
  }
  signals.fd_.reset(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_) return common::errno_error("signalfd");
  ::sigprocmask(SIG_BLOCK, &taken, &signals.mask_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &signals.pipe_action_);
  signals.active_ = true;
  return signals;
}

HostSignals::HostSignals(HostSignals&& other) noexcept
    : active_(std::exchange(other.active_, false)),
      fd_(std::move(other.fd_)),
      mask_(other.mask_),
      pipe_action_(other.pipe_action_) {}

HostSignals::~HostSignals() {
  if (!active_) return;
  while (next()) {
  }
  ::sigaction(SIGPIPE, &pipe_action_, nullptr);
  ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

std::optional<int> HostSignals::next() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace vch
