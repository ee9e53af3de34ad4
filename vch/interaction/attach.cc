#include "vch/interaction/attach.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "common/io.h"
#include "vch/interaction/attach_end.h"
#include "vch/interaction/host_signals.h"
#include "vch/interaction/journal_rest.h"
#include "vch/interaction/keyboard.h"
#include "vch/interaction/output_sink.h"
#include "vch/interaction/signal_forwarder.h"
#include "vch/interaction/stdio_client.h"
#include "vch/machine/lock.h"
#include "vch/shim/dialer.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr size_t kReadSize = 64 * 1024;
constexpr int kReadsPerTurn = 4;
constexpr size_t kLeastInput = 8 * 1024;  // room that makes reading stdin worth while
constexpr std::chrono::milliseconds kAckDelay{5};
constexpr int kMaxBreaches = 5;
// For what was typed before the detach keys to get to a session that reads it.
constexpr std::chrono::milliseconds kLeaveTime{500};

// One attach: descriptors around a StdioClient, in one poll loop. Nothing in it waits for one
// descriptor alone, but for a shim's start.
class AttachLoop {
 public:
  AttachLoop(const Container& container, const std::string& program, const AttachOptions& options,
             const StdioClient::Options& client, HostSignals signals,
             std::optional<Keyboard> keyboard)
      : container_(container),
        options_(options),
        client_(client),
        signals_(std::move(signals)),
        keyboard_(std::move(keyboard)),
        dialer_(container, program, "stdio", options.bulk ? "bulk" : "interactive"),
        forwarder_(container, program, options.session),
        rest_(container, options.session),
        sinks_{OutputSink(options.output, "stdout"), OutputSink(options.error, "stderr")},
        buffer_(kReadSize, '\0') {}

  Result<AttachEnd> run();

 private:
  // In the order of polled_.
  enum Slot : size_t { kConnection, kInput, kStdout, kStderr, kSignals, kControl, kSlots };

  Status turn();
  Status keep_connected();
  Status receive();
  Status read_journal();
  void send();
  Status write_output(size_t stream);
  Status read_input();
  void read_keys();
  void take_signals();
  void flush_acks();
  void lose(bool agent_finished);
  std::optional<Result<AttachEnd>> end();
  std::optional<AttachEnd> left();
  Status wait();
  bool wants_input() const;
  void want(Slot slot, int fd, int events);
  int timeout_ms() const;
  bool ready(Slot slot) const { return polled_[slot].revents != 0; }

  const Container& container_;
  const AttachOptions& options_;
  StdioClient client_;
  HostSignals signals_;
  std::optional<Keyboard> keyboard_;  // behind signals_: those it lives with are taken first
  std::optional<Clock::time_point> leave_at_;
  int signal_ = 0;  // one of ours ends it
  Dialer dialer_;
  UniqueFd connection_;
  SignalForwarder forwarder_;
  JournalRest rest_;
  std::array<OutputSink, 2> sinks_;
  std::array<bool, 2> sink_full_{};
  bool connection_full_ = false;
  bool machine_gone_ = false;
  bool told_ = false;  // the agent knows that we have everything
  int breaches_ = 0;
  std::optional<Clock::time_point> acks_due_;
  std::array<pollfd, kSlots> polled_{};
  std::string buffer_;
};

Result<AttachEnd> AttachLoop::run() {
  for (;;) {
    RETURN_IF_ERROR(turn());
    if (auto done = end()) return std::move(*done);
    RETURN_IF_ERROR(wait());
  }
}

Status AttachLoop::turn() {
  take_signals();
  RETURN_IF_ERROR(keep_connected());
  RETURN_IF_ERROR(receive());
  RETURN_IF_ERROR(read_journal());
  for (const size_t stream : {size_t{0}, size_t{1}}) RETURN_IF_ERROR(write_output(stream));
  RETURN_IF_ERROR(read_input());
  flush_acks();
  send();
  if (client_.attached()) forwarder_.start();
  if (!machine_gone_) forwarder_.advance();
  return {};
}

Status AttachLoop::keep_connected() {
  if (connection_ || machine_gone_ || told_) return {};
  auto dialed = dialer_.advance();
  if (dialed.has_error()) {
    if (dialed.error().code != std::errc::not_connected) return dialed.error();
    machine_gone_ = true;
  } else if (*dialed) {
    connection_ = std::move(**dialed);
    connection_full_ = false;
    client_.on_connected();
  }
  return {};
}

Status AttachLoop::receive() {
  for (int i = 0; i < kReadsPerTurn && connection_ && client_.wants_bytes(); ++i) {
    const ssize_t size = ::recv(connection_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (size <= 0) {
      lose(size == 0);
      break;
    }
    if (client_.on_bytes({buffer_.data(), static_cast<size_t>(size)})) continue;
    lose(false);
    if (++breaches_ == kMaxBreaches) {
      return make_error(EPROTO, "attach to", container_.spec.name,
                        "its agent breaks the stdio protocol again and again");
    }
  }
  return {};
}

Status AttachLoop::read_journal() {
  RETURN_IF_ERROR(rest_.advance(client_, machine_gone_));
  if (connection_ && !client_.on_bytes({})) lose(false);  // What came behind a gap.
  return {};
}

void AttachLoop::send() {
  connection_full_ = false;
  while (connection_ && !connection_full_) {
    const std::string_view bytes = client_.to_send();
    if (bytes.empty()) break;
    const ssize_t size =
        ::send(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size >= 0) {
      client_.sent(static_cast<size_t>(size));
    } else if (errno == EAGAIN) {
      connection_full_ = true;
    } else if (errno != EINTR) {
      lose(false);
    }
  }
  if (connection_ && client_.exit_acknowledged()) ::shutdown(connection_.get(), SHUT_WR);
}

// Behind our last word an orderly end may be the agent's, which has heard it, or that of a shim
// that died with it: then it must be said again.
void AttachLoop::lose(bool agent_finished) {
  if (agent_finished && client_.exit_acknowledged()) {
    told_ = is_locked(container_.file("shim.lock")) || !is_locked(container_.file("machine.lock"));
  }
  const bool progressed = client_.attached();
  connection_.reset();
  client_.on_disconnected();
  acks_due_.reset();
  dialer_.lost(progressed);
}

Status AttachLoop::write_output(size_t stream) {
  if (ready(stream == 0 ? kStdout : kStderr)) sink_full_[stream] = false;
  const auto output = static_cast<StdioClient::Output>(stream);
  while (!sink_full_[stream]) {
    const std::string_view bytes = client_.pending(output);
    if (bytes.empty()) break;
    ASSIGN_OR_RETURN(const size_t size, sinks_[stream].write_some(bytes));
    client_.written(output, size);
    sink_full_[stream] = size == 0;
  }
  return {};
}

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

// A word for every write would cost the agent more than the bytes themselves.
void AttachLoop::flush_acks() {
  if (!client_.acks_owed()) {
    acks_due_.reset();
  } else if (!acks_due_) {
    acks_due_ = Clock::now() + kAckDelay;
  } else if (Clock::now() >= *acks_due_) {
    acks_due_.reset();
    client_.flush_acks();
  }
}

std::optional<Result<AttachEnd>> AttachLoop::end() {
  // A session that knows us no more was told by our last connection that we have everything.
  if (client_.done() && (told_ || machine_gone_ || client_.refusal())) {
    return session_end(*client_.exit(), client_.dropped());
  }
  if (client_.refusal()) {
    return AttachEnd{
        125, "attach to " + container_.spec.name + ": " + common::escape(*client_.refusal())};
  }
  const bool written = client_.pending(StdioClient::Output::kStdout).empty() &&
                       client_.pending(StdioClient::Output::kStderr).empty();
  if (machine_gone_ && written && rest_.finished()) {
    return machine_end(container_, options_.session, client_.dropped(), rest_.missing_records());
  }
  if (auto gone = left()) return *gone;
  return std::nullopt;
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

void AttachLoop::want(Slot slot, int fd, int events) {
  polled_[slot] = {events == 0 ? -1 : fd, static_cast<short>(events), 0};
}

int AttachLoop::timeout_ms() const {
  int least = connection_ || machine_gone_ ? -1 : dialer_.timeout_ms();
  const auto at_most = [&least](int wait) {
    if (wait >= 0 && (least < 0 || wait < least)) least = wait;
  };
  at_most(forwarder_.timeout_ms());
  at_most(rest_.timeout_ms());
  for (const size_t stream : {size_t{0}, size_t{1}}) {
    if (rest_.wants_room(stream) && !sink_full_[stream]) at_most(0);
  }
  for (const auto& due : {acks_due_, leave_at_}) {
    if (!due) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - Clock::now());
    at_most(static_cast<int>(std::max<int64_t>(left.count(), 0)));
  }
  return least;
}

Status AttachLoop::wait() {
  if (connection_) {
    want(kConnection, connection_.get(),
         (client_.wants_bytes() ? POLLIN : 0) | (connection_full_ ? POLLOUT : 0));
  } else {
    want(kConnection, dialer_.fd(), machine_gone_ ? 0 : POLLIN);
  }
  want(kInput, options_.input, wants_input() ? POLLIN : 0);
  want(kStdout, sinks_[0].fd(), sink_full_[0] ? POLLOUT : 0);
  want(kStderr, sinks_[1].fd(), sink_full_[1] ? POLLOUT : 0);
  want(kSignals, signals_.fd(), POLLIN);
  want(kControl, forwarder_.fd(), machine_gone_ ? 0 : forwarder_.events());
  if (::poll(polled_.data(), polled_.size(), timeout_ms()) >= 0) return {};
  for (pollfd& one : polled_) one.revents = 0;
  if (errno == EINTR) return {};
  return errno_error("poll");
}

}  // namespace

Result<AttachEnd> attach(const Container& container, const std::string& program,
                         const AttachOptions& options) {
  StdioClient::Options client;
  client.session = options.session;
  client.want_input = options.input >= 0;
  client.from_oldest = options.from_oldest;
  client.repaint = options.repaint;
  RETURN_IF_ERROR(common::fill_random(client.writer));
  if (options.tty) {
    const WindowSize window = window_size(options.output, options.input);
    client.rows = window.rows;
    client.columns = window.columns;
  }
  const bool raw = options.tty && options.input >= 0 && ::isatty(options.input) == 1;
  std::vector<int> taken;
  if (raw) {
    taken.assign(Keyboard::kSignals.begin(), Keyboard::kSignals.end());
  } else {
    if (options.forward_signals) taken.assign(kForwardedSignals.begin(), kForwardedSignals.end());
    if (options.tty) taken.push_back(SIGWINCH);
  }
  ASSIGN_OR_RETURN(HostSignals signals, HostSignals::take(taken));
  std::optional<Keyboard> keyboard;
  if (raw) {
    ASSIGN_OR_RETURN(Keyboard taken_over, Keyboard::take(options.input, options.detach_keys));
    keyboard.emplace(std::move(taken_over));
  }
  return AttachLoop(container, program, options, client, std::move(signals), std::move(keyboard))
      .run();
}

}  // namespace vch
