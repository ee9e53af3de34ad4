// The bytes of the sessions: out of their pipes and terminals into the rings, and in from the
// queues.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr int kReadsPerTurn = 8;
// What fills a pipe of the usual size gets a larger one: fewer switches of processes.
constexpr uint64_t kUsualPipe = 64 * 1024;
constexpr int kWidePipe = 256 * 1024;
constexpr uint64_t kTypingLastsMs = 1000;
constexpr uint64_t kTrimMs = 250;  // a stream that pauses so long gives memory back
constexpr uint64_t kHeldMs = 10;   // until a pipe that somebody holds is looked at again
// So often is looked for the last output of who has ended, where somebody else holds its pipe.
constexpr uint8_t kMostLooks = 100;

// Ready, and gave EAGAIN all the same: somebody in the container splices into it or out of it, and
// has its lock meanwhile (bootstrap-kernel/patches/95). epoll would tell of it again and again.
bool is_held(int fd, short events) {
  pollfd now{fd, events, 0};
  return ::poll(&now, 1, 0) > 0 && (now.revents & events) != 0;
}

}  // namespace

void Supervisor::look_again_soon() {
  if (held_until_ms_ == 0) held_until_ms_ = system_.now_ms() + kHeldMs;
}

void Supervisor::look_again() {
  held_until_ms_ = 0;
  for (Session& session : sessions_) {
    for (uint32_t stream = 0; stream < 2; ++stream) {
      Output& output = session.outputs[stream];
      if (!std::exchange(output.held, false) || !output.source) continue;
      watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, stream);
    }
    if (std::exchange(session.input_held, false)) on_input(session);
  }
}

// False: nothing waits in there, or it was waited for long enough.
bool Supervisor::hold_output(const Session& session, Output& output) {
  if (!is_held(output.source.get(), POLLIN)) return false;
  if (session.reaped && !waits_for_writers(session) && output.looks++ >= kMostLooks) return false;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, output.source.get(), nullptr);
  output.held = true;  // and still `watched`, as an upgraded agent has it
  look_again_soon();
  return true;
}

// As sshd does: what a command has left running may have more to say than it had itself, while
// there is a client. A terminal is taken away with its leader.
bool Supervisor::waits_for_writers(const Session& session) {
  return session.transient && !session.tty;
}

void Supervisor::on_output(Session& session, uint32_t stream) {
  Output& output = session.outputs[stream];
  if (!output.source) return;
  if (session.quiet) on_begun(session);
  const uint64_t before = output.ring.head();
  uint64_t read = before;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    Ring::Fill fill = Ring::Fill::kBytes;
    if (output.discard) {
      static std::array<char, 16384> nowhere;
      const ssize_t n = ::read(output.source.get(), nowhere.data(), nowhere.size());
      if (n <= 0)
        fill = n < 0 && (errno == EAGAIN || errno == EINTR) ? Ring::Fill::kWouldBlock
                                                            : Ring::Fill::kEnd;
    } else {
      fill = output.ring.fill_from(output.source.get());
      const uint64_t size = output.ring.head() - std::exchange(read, output.ring.head());
      if (size == kUsualPipe) ::fcntl(output.source.get(), F_SETPIPE_SZ, kWidePipe);
    }
    if (fill == Ring::Fill::kBytes) continue;
    if (fill == Ring::Fill::kEnd) {
      close_output(output);
      end_output(session, stream);
    } else if (fill == Ring::Fill::kFull) {
      if (find_room(session, stream)) continue;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, output.source.get(), nullptr);
      output.watched = false;
    } else if (i == 0 && hold_output(session, output)) {
      return;
    } else if (session.reaped && !waits_for_writers(session)) {
      // Whoever else still holds the other end may write on, into the void: its output is read,
      // never kept.
      output.discard = true;
      end_output(session, stream);
    }
    break;
  }
  if (output.ring.head() == before) return;
  gather(output.ring.head() - before);
  if (output.ended) return;
  tell_head(session, stream);
  if (&session == primary_) pump_journal();
}

void Supervisor::gather(size_t size) {
  streams_ = gathering_.on_bytes(system_.now_ms(), size);
  interrupt_less();
}

// Who wakes and may interrupt whoever runs makes of one exec 60 switches of processes instead of
// 40: each of its ends is told on by itself, through three processes. So PID 1 and the link process
// wait for their turn, but while somebody types: that must come through beside a busy container.
// PID 1 still does in a stream, whose writers have more to say each time.
void Supervisor::interrupt_less() {
  const bool typing = typed_ms_ != 0 && system_.now_ms() - typed_ms_ <= kTypingLastsMs;
  set_batch(0, batch_, !typing || streams_);
  if (link_pid_ > 0) set_batch(link_pid_, link_batch_, !typing);
}

void Supervisor::set_batch(pid_t pid, bool& now, bool wanted) {
  if (std::exchange(now, wanted) != wanted) system_.set_batch(pid, wanted);
}

// A TTY's input is the same description: without this the loop would hear of its end for ever.
void Supervisor::close_output(Output& output) {
  if (!output.source) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, output.source.get(), nullptr);
  output.watched = false;
  output.source.reset();
}

void Supervisor::end_output(Session& session, uint32_t stream) {
  Output& output = session.outputs[stream];
  if (output.ended) return;
  output.ended = true;
  if (session.visible()) tell_head(session, stream);
  after_end(session);
}

void Supervisor::on_input(Session& session) {
  bool was_ready = false;
  while (session.input && !session.queue.empty()) {
    const std::string_view bytes = session.queue.front();
    const ssize_t n = ::write(session.input.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!std::exchange(session.input_wide, true) && !session.tty &&
          ::fcntl(session.input.get(), F_SETPIPE_SZ, kWidePipe) > 0) {
        continue;
      }
      if (is_held(session.input.get(), POLLOUT)) {
        if (!std::exchange(was_ready, true)) continue;  // It was full, and is not any more.
        session.input_held = true;
        return look_again_soon();
      }
      watch(session.input.get(), EPOLLOUT | EPOLLONESHOT, Source::kInput, session.id);
      return;
    }
    if (n < 0) {  // The process closed its stdin: nothing more is taken.
      session.queue.clear();
      drop(session.input);
      return;
    }
    const auto done = session.queue.pop(static_cast<size_t>(n));
    if (done.chunk_finished) tell_stdin(session, done.writer, done.offset);
  }
  if (session.input_eof && session.queue.empty() && !session.tty) drop(session.input);
}

// Straight to the process, where nothing waits before it. False: what is left is for the queue.
bool Supervisor::pass_on(Session& session, const LinkHeader& header, std::string_view payload) {
  if (!session.input || !session.queue.empty()) return false;
  const std::string_view fresh = session.queue.fresh(header.writer, header.offset, payload);
  if (fresh.empty()) return false;
  const ssize_t n = ::write(session.input.get(), fresh.data(), fresh.size());
  if (n <= 0) return false;
  const auto taken = static_cast<size_t>(n);
  const uint64_t end = header.offset + payload.size();
  session.queue.skip(header.writer, end - fresh.size(), taken);
  if (taken < fresh.size()) return false;
  tell_stdin(session, header.writer, end);
  return true;
}

bool Supervisor::free_output(Output& output, uint64_t below) {
  if (trim_at_ms_ == 0) trim_at_ms_ = system_.now_ms() + kTrimMs;
  return output.ring.free_below(below);
}

void Supervisor::trim_rings(uint64_t now) {
  bool again = false;
  for (Session& session : sessions_) {
    for (Output& output : session.outputs) again |= output.ring.trim_if_quiet();
  }
  trim_at_ms_ = again ? now + kTrimMs : 0;
}

}  // namespace tether
