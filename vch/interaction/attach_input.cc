// What the person in front of an attach does: types, resizes, sends signals, leaves.
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "vch/interaction/attach_loop.h"

namespace vch {
namespace {

using common::errno_error;
using common::Status;

constexpr size_t kLeastInput = 8 * 1024;  // room that makes reading stdin worth while
// For what was typed before the detach keys to get to a session that reads it.
constexpr std::chrono::milliseconds kLeaveTime{500};

}  // namespace

Status AttachLoop::read_input() {
  if (keyboard_) read_keys();
  if (keyboard_ || !ready(kInput)) return {};
  const size_t room = std::min(client_.input_room(), buffer_.size());
  if (room == 0) return {};
  const ssize_t size = ::read(options_.input, buffer_.data(), room);
  if (size > 0) {
    client_.push_input({buffer_.data(), static_cast<size_t>(size)});
  } else if (size == 0 || errno == EIO || errno == EBADF) {
    client_.end_input();  // EIO: our terminal has gone.
  } else if (errno != EAGAIN && errno != EINTR) {
    return errno_error("read", "stdin");
  }
  return {};
}

void AttachLoop::read_keys() {
  if (ready(kInput) && keyboard_->wants()) keyboard_->read(buffer_);
  const std::string_view typed = keyboard_->typed().substr(0, client_.input_room());
  client_.push_input(typed);
  keyboard_->taken(client_.input_open() ? typed.size() : keyboard_->typed().size());
  if (keyboard_->detach() && !leave_at_) {
    leave_at_ = Clock::now() + kLeaveTime;
    client_.flush_acks();
  }
}

bool AttachLoop::wants_input() const {
  return keyboard_ ? keyboard_->wants() : client_.input_room() >= kLeastInput;
}

void AttachLoop::take_signals() {
  if (!ready(kSignals)) return;
  while (const auto number = signals_.next()) {
    if (keyboard_) {
      signal_ = keyboard_->on_signal(*number).value_or(signal_);
    } else if (*number != SIGWINCH) {
      forwarder_.send(*number);
    }
  }
  if (!options_.tty) return;
  const WindowSize window = window_size(options_.output, options_.input);
  client_.set_window(window.rows, window.columns);
}

std::optional<AttachEnd> AttachLoop::left() {
  AttachEnd end;
  end.detached = true;
  if (signal_ != 0) {
    end.signal = signal_;
    end.exit_code = 128 + signal_;
    return end;
  }
  const bool passed = keyboard_ && keyboard_->typed().empty() && !client_.input_waits();
  if (!leave_at_ || (!passed && Clock::now() < *leave_at_)) return std::nullopt;
  end.exit_code = 0;
  return end;
}

}  // namespace vch
