#include "tether/link/attach.h"

#include <algorithm>

namespace tether {
namespace {

using protocol::StdioAttach;
using protocol::StdioAttached;
using protocol::StdioType;
using protocol::Stream;

using protocol::kStdioHeaderSize;

constexpr size_t kWorthReserving = 8 * 1024;
// Two frames of the transport, so that a stream leaves the other one half of the room.
constexpr size_t kPiece = Attach::kMaxQueued / 2 - kStdioHeaderSize;
constexpr std::array<const char*, 2> kStreamNames = {"stdout", "stderr"};

}  // namespace

void Attach::put(StdioType type, size_t stream, uint64_t offset, std::string_view payload) {
  protocol::append_frame(out_, type, static_cast<Stream>(stream), offset, payload);
}

void Attach::refuse(std::string_view line) {
  put(StdioType::kError, 0, 0, line);
  ending_ = Ending::kFinish;
}

void Attach::poke(uint64_t now_ms) {
  if (ending_ != Ending::kNone) return;
  if (attached_ && sessions_.find(session_) == nullptr) {
    return refuse("no such session: " + std::to_string(session_));  // any more
  }
  advance();
  if (writer_.started()) writer_.pump(now_ms);
  take_frames(now_ms);
}

// A client whose input is not read is not heard to go: of those that wait, a login's end is told.
void Attach::advance() {
  if (phase_ == Phase::kWaitSession && login_ && login_->ended) ending_ = Ending::kReset;
  if (phase_ == Phase::kWaitSession && ending_ == Ending::kNone && !waits_for_exec()) {
    if (of_exec()) {
      attach_.session = exec_session().value_or(0);
      if (attach_.session == 0) return refuse("nothing was started");
    }
    SessionView* session = sessions_.find(attach_.session);
    if (session == nullptr && attach_.session != 0) {
      return refuse("no such session: " + std::to_string(attach_.session));
    }
    if (session != nullptr && session->ready()) begin(*session);
  }
  if (phase_ == Phase::kWaitStdin && writer_.known()) start_streaming();
}

// What the exec came to; nothing: it was not answered yet. This process may have done that, or the
// one that has handed the login over to it.
std::optional<uint32_t> Attach::exec_session() const {
  const auto answer = login_->answers.find(writer_id_);
  if (answer != login_->answers.end()) return answer->second;
  const SessionView* started = login_->inherited ? sessions_.find_request(writer_id_) : nullptr;
  if (started == nullptr || !login_->ids.contains(started->id)) return std::nullopt;
  return started->id;
}

bool Attach::waits_for_exec() const {
  return phase_ == Phase::kWaitSession && of_exec() && !login_->ended && !exec_session();
}

void Attach::begin(SessionView& session) {
  const std::array<uint64_t, 2> wanted = {attach_.stdout_offset, attach_.stderr_offset};
  for (size_t i = 0; i < 2 && wants_output(); ++i) {
    const StreamView& stream = session.streams[i];
    const bool oldest = wanted[i] == StdioAttach::kFromOldest;
    if (!oldest && wanted[i] > stream.head) {
      return refuse(std::string(kStreamNames[i]) + " offset " + std::to_string(wanted[i]) +
                    " lies beyond its end so far, " + std::to_string(stream.head));
    }
    // The successor of a client gets the rest, the beginning of it from the journal if need be.
    const uint64_t from = !oldest ? wanted[i] : stream.watched ? stream.delivered : stream.tail;
    const uint64_t start = std::max(from, stream.tail);
    outputs_[i] = {start, start, from, start != from, false};
  }
  session_ = session.id;
  attached_ = true;
  send_resize(attach_.rows, attach_.columns);
  const bool input = wants_stdin() && (session.flags & kSessionStdinOpen) != 0 && !session.exit;
  if (input && !session.stdin_used) {
    writer_.start_first(port_, session_, writer_id_);
    start_streaming();
  } else if (input) {
    phase_ = Phase::kWaitStdin;
    writer_.start(port_, session_, writer_id_);
  } else {
    start_streaming();
  }
}

void Attach::start_streaming() {
  const SessionView* session = sessions_.find(session_);
  if (session == nullptr) return;
  const bool open = (session->flags & kSessionStdinOpen) != 0 && !session->exit &&
                    !(writer_.started() && writer_.closed());
  StdioAttached attached;
  attached.session = session_;
  attached.flags = ((session->flags & kSessionTty) != 0 ? StdioAttached::kTty : 0U) |
                   (open ? StdioAttached::kStdinOpen : 0U) | StdioAttached::kWideStdin;
  attached.stdin_offset = acked_stdin_ = writer_.accepted();
  attached.stdout_offset = outputs_[0].delivered;
  attached.stderr_offset = outputs_[1].delivered;
  put(StdioType::kAttached, 0, 0, protocol::encode(attached));
  phase_ = Phase::kStreaming;
}

void Attach::on_stdin_ack(const LinkHeader& header, uint64_t now_ms) {
  if (!writer_.started() || header.session != session_ || header.writer != writer_id_) return;
  const bool closed = header.value == 1;
  if (header.stream == 1) {
    writer_.on_answer(header.offset, closed, now_ms);
  } else {
    writer_.on_ack(header.offset, closed, now_ms);
  }
  poke(now_ms);
}

// The caller's memory serves again and again.
void Attach::take_output(std::string& bytes) {
  bytes = out_;
  out_.clear();
  out_.swap(bytes);
  if (phase_ == Phase::kStreaming && ending_ == Ending::kNone) fill();
  out_.swap(bytes);
}

// Frames are made only as the connection takes them: nothing here grows with what a client leaves
// unread.
void Attach::fill() {
  if (acked_stdin_ != writer_.accepted()) {
    acked_stdin_ = writer_.accepted();
    put(StdioType::kAck, 0, acked_stdin_);
  }
  SessionView* session = sessions_.find(session_);
  if (session == nullptr) return;
  bool more = wants_output();
  while (more && out_.size() + kStdioHeaderSize < kMaxQueued) {
    more = false;
    for (size_t stream = 0; stream < 2; ++stream) more |= fill_stream(*session, stream);
  }
  fill_end(*session);
}

bool Attach::fill_stream(SessionView& session, size_t stream) {
  Output& output = outputs_[stream];
  StreamView& source = session.streams[stream];
  if (output.next < source.tail) {
    output.next = output.acknowledged = source.tail;
    output.gap_due = true;
  }
  if (std::exchange(output.gap_due, false)) put(StdioType::kGap, stream + 1, output.next);
  const size_t before = out_.size();
  const size_t room = kMaxQueued - std::min(kMaxQueued, before + kStdioHeaderSize);
  const auto size =
      static_cast<size_t>(std::min({source.head - output.next, uint64_t{kPiece}, uint64_t{room}}));
  if (source.head == output.next) {
    // A login has no use for it: it comes with the exit, for which alone it is woken.
    const bool due = source.ended && (!login_ || session.exit);
    if (due && !std::exchange(output.eof_sent, true)) {
      put(StdioType::kEof, stream + 1, output.next);
    }
    return false;
  }
  if (size == 0) return false;
  if (size >= kWorthReserving) out_.reserve(kMaxQueued);
  protocol::append_header(out_, {StdioType::kData, static_cast<Stream>(stream + 1),
                                 static_cast<uint32_t>(size), output.next});
  if (!read_ring(source, output.next, size, out_)) {
    out_.resize(before);
    // Given up while it was copied: the next round says so with a gap. Else the ring is unreadable.
    if (output.next >= source.tail) ending_ = Ending::kReset;
    return output.next < source.tail;
  }
  output.next += size;
  return true;
}

void Attach::fill_end(SessionView& session) {
  if (!session.exit || exit_sent_) return;
  if (wants_output() && (!outputs_[0].eof_sent || !outputs_[1].eof_sent)) return;
  exit_sent_ = true;
  put(StdioType::kExit, 0, 0, protocol::encode(*session.exit));
}

}  // namespace tether
