// What is typed into our terminal on its way to a session, and the keys and signals that are ours.
#pragma once

#include <signal.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "vch/interaction/detach_keys.h"
#include "vch/interaction/host_terminal.h"

namespace vch {

// The terminal is raw as long as it lives. What is typed is read at once, whether or not the
// session takes it, so that the detach keys work behind a paste and without a link.
class Keyboard {
 public:
  static constexpr size_t kMostTyped = size_t{1} << 20U;  // not yet taken by the session
  // That a session does not hear of: its own come as keys.
  static constexpr std::array kSignals = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                          SIGTSTP, SIGCONT, SIGWINCH};

  // Does not own `fd`, a terminal.
  static common::Result<Keyboard> take(int fd, DetachKeys keys);

  // Read when `fd` is readable.
  bool wants() const { return !gone_ && !detach_ && typed_.size() < kMostTyped; }
  void read(std::string& buffer);
  std::string_view typed() const { return typed_; }
  void taken(size_t size) { typed_.erase(0, size); }
  bool detach() const { return detach_; }  // the keys for it were typed

  // One of kSignals arrived: stops and goes on with us, or gives the number that ends us.
  std::optional<int> on_signal(int number);

 private:
  Keyboard(int fd, DetachKeys keys, HostTerminal terminal)
      : fd_(fd), keys_(std::move(keys)), terminal_(std::move(terminal)) {}
  int fd_;
  DetachKeys keys_;
  HostTerminal terminal_;
  std::string typed_;
  bool detach_ = false;
  bool gone_ = false;
};

}  // namespace vch
