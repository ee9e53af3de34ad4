#include "vch/interaction/attach_loop.h"

#include <sys/socket.h>

#include <algorithm>

#include "vch/interaction/attach_end.h"
#include "vch/machine/lock.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr int kReadsPerTurn = 4;
constexpr std::chrono::milliseconds kAckDelay{5};
constexpr int kMaxBreaches = 5;

}  // namespace

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
    auto end =
        machine_end(container_, options_.session, client_.dropped(), rest_.missing_records());
    if (end.has_value() && !end->error && !client_.knows_its_place()) end->error = too_late();
    return end;
  }
  if (auto gone = left()) return *gone;
  return std::nullopt;
}

std::string AttachLoop::too_late() const {
  const std::string& name = container_.spec.name;
  return "attach to " + name + ": it ended before; `vch logs " + name + "` has its output";
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

}  // namespace vch
