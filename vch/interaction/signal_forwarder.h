// Signals on their way to a session, in order, each once.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "common/result.h"
#include "vch/interaction/control_call.h"

namespace vch {

// For poll loops. A session that has not started yet gets its signals when it has; one that has
// ended has no use for them.
class SignalForwarder {
 public:
  SignalForwarder(const Container& container, std::string program, uint32_t session);

  // More than kMaxWaiting are dropped: who sends so many repeats himself.
  void send(int number);
  // Nothing is sent before: the agent knows no session that has not been attached to.
  void start() { started_ = true; }

  int fd() const { return call_ ? call_->fd() : -1; }
  short events() const { return call_ ? call_->events() : short{0}; }
  int timeout_ms() const;  // -1: for ever
  // Call when fd() is ready or timeout_ms() has passed. What goes wrong concerns the signal alone
  // and is dropped with it: if the machine has ended, the attach hears of it itself.
  void advance();

 private:
  static constexpr size_t kMaxWaiting = 64;
  void begin();

  const Container& container_;
  std::string program_;
  uint32_t session_;
  bool started_ = false;
  std::deque<int> waiting_;
  std::unique_ptr<ControlCall> call_;  // of waiting_.front()
  std::chrono::steady_clock::time_point not_before_;
};

}  // namespace vch
