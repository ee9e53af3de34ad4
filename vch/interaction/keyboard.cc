#include "vch/interaction/keyboard.h"

#include <unistd.h>

namespace vch {

common::Result<Keyboard> Keyboard::take(int fd, DetachKeys keys) {
  ASSIGN_OR_RETURN(HostTerminal terminal, HostTerminal::take(fd));
  return Keyboard(fd, std::move(keys), std::move(terminal));
}

void Keyboard::read(std::string& buffer) {
  const ssize_t size = ::read(fd_, buffer.data(), buffer.size());
  if (size > 0) {
    detach_ = keys_.feed({buffer.data(), static_cast<size_t>(size)}, typed_);
  } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
    gone_ = true;  // Hung up. The session's terminal is another and stays.
  }
}

std::optional<int> Keyboard::on_signal(int number) {
  switch (number) {
    case SIGTSTP:
      terminal_.leave();
      ::kill(::getpid(), SIGSTOP);
      terminal_.enter();
      return std::nullopt;
    case SIGCONT:  // Whoever had the terminal meanwhile has left it as he likes it.
      terminal_.enter();
      return std::nullopt;
    case SIGWINCH:
      return std::nullopt;
    default:
      return number;
  }
}

}  // namespace vch
