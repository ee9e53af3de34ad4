#include "tether/link/ssh/session_stdio.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tether {
namespace {

using protocol::StdioAttach;
using protocol::StdioType;
using protocol::Stream;

constexpr int kFailed = 255;  // as OpenSSH's client says it

}  // namespace

// The request's id is random and has been said once: it does for a writer's, too.
void SessionStdio::expect(std::string_view request) {
  std::memcpy(writer_.data(), request.data(), std::min(request.size(), writer_.size()));
  connect();
}

// The connection that waits for it may be lost meanwhile, or refused by a link process that knows
// of no such thing: then there is another one.
void SessionStdio::attach(uint32_t session) {
  if (exited_) return;
  session_ = session;
  if (!agent_ && !connect()) fail("no connection to the session");
}

// Goes on where the last connection ended, if there was one.
bool SessionStdio::connect() {
  reader_ = {};
  to_agent_.clear();
  of_exec_ = session_ == 0;
  StdioAttach wanted;
  wanted.session = of_exec_ ? StdioAttach::kOfExecSession : session_;
  wanted.flags =
      StdioAttach::kWantStdin | StdioAttach::kWantOutput | (of_exec_ ? StdioAttach::kOfExec : 0U);
  wanted.writer = writer_;
  wanted.stdout_offset = outputs_[0].end();
  wanted.stderr_offset = outputs_[1].end();
  wanted.rows = rows_;
  wanted.columns = columns_;
  const std::string frame =
      protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, encode(wanted));
  agent_ = services_.open(SshAsk::kServeStdio, frame);
  return static_cast<bool>(agent_);
}

// The link process may have been replaced: its successor serves us as well. Which session it is the
// exec's answer says, if nothing has yet.
void SessionStdio::on_lost() {
  agent_.reset();
  if (exited_) return;
  resuming_ = true;
  if (session_ == 0) return;
  if (++lost_ > SshServices::kMostLost || !connect()) fail("the session was lost");
}

size_t SessionStdio::wants_input() const {
  return input_.size() < most_held_ ? most_held_ - input_.size() : 0;
}

bool SessionStdio::has_room() const {
  return outputs_[0].bytes.size() + outputs_[1].bytes.size() < most_held_;
}

pollfd SessionStdio::waits() const {
  if (!agent_) return {-1, 0, 0};
  const int events = (has_room() ? POLLIN : 0) | (to_agent_.empty() ? 0 : POLLOUT);
  // Without either, only a hang-up would come, again and again: it is found once there is room.
  return {events == 0 ? -1 : agent_.get(), static_cast<short>(events), 0};
}

void SessionStdio::pump(bool readable) {
  if (!agent_) return;
  send_input();
  if (readable && !take_frames()) on_lost();
  deliver();
  send_input();
  if (agent_ && !send_some(agent_.get(), to_agent_)) on_lost();
}

bool SessionStdio::take_frames() {
  std::string_view bytes;
  const bool open = receive_some(agent_.get(), bytes, most_held_);
  reader_.feed(bytes);
  while (const auto frame = reader_.next()) {
    if (of_exec_ && frame->header.type == StdioType::kError) return false;
    on_frame(*frame);
  }
  return open && !reader_.bad();
}

void SessionStdio::on_frame(const protocol::StdioReader::Frame& frame) {
  switch (frame.header.type) {
    case StdioType::kData:
      return on_data(frame);
    case StdioType::kAttached:
      if (!on_attached(frame.payload)) fail("the session was lost");
      return;
    case StdioType::kAck:
      return on_input_taken(frame.header.offset);
    case StdioType::kExit:
      exited_ = true;
      exit_ = protocol::decode_exit(frame.payload).value_or(protocol::StdioExit());
      return;
    case StdioType::kError:
      return fail(frame.payload);
    default:
      return;
  }
}

void SessionStdio::on_data(const protocol::StdioReader::Frame& frame) {
  const size_t stream = frame.header.stream == Stream::kStderr ? 1 : 0;
  Output& output = outputs_[stream];
  std::string_view rest = frame.payload;
  if (output.bytes.empty()) {
    output.offset = frame.header.offset;
    rest.remove_prefix(deliver(stream, rest));
  }
  output.bytes += rest;
}

bool SessionStdio::on_attached(std::string_view payload) {
  const auto attached = protocol::decode_attached(payload);
  if (!attached) return false;
  session_ = attached->session;
  of_exec_ = false;
  const bool wide = (attached->flags & protocol::StdioAttached::kWideStdin) != 0;
  window_ = wide ? protocol::kWideStdinWindow : protocol::kStdinWindow;
  lost_ = 0;
  if (!std::exchange(resuming_, false)) return true;
  if ((attached->flags & protocol::StdioAttached::kStdinOpen) == 0) return true;  // nobody reads it
  const uint64_t offset = attached->stdin_offset;
  if (offset < input_taken_ || offset > input_taken_ + held_.size()) return false;
  on_input_taken(offset);
  input_sent_ = offset;
  input_closed_ = false;
  return true;
}

void SessionStdio::on_input_taken(uint64_t offset) {
  if (offset <= input_taken_ || offset > input_taken_ + held_.size()) return;
  held_.drop(static_cast<size_t>(offset - input_taken_));
  input_taken_ = offset;
  input_sent_ = std::max(input_sent_, offset);
}

void SessionStdio::send_input() {
  if (!agent_ || resuming_ || input_closed_) return;
  // What was under way on a connection that was lost.
  while (input_sent_ < input_taken_ + held_.size()) {
    const auto at = static_cast<size_t>(input_sent_ - input_taken_);
    const std::string_view piece = held_.piece(at, protocol::kStdioMaxPayload);
    protocol::append_frame(to_agent_, StdioType::kData, Stream::kStdin, input_sent_, piece);
    input_sent_ += piece.size();
  }
  const size_t most = std::min(window_ - 1, most_held_);
  if (!input_.empty() && held_.size() < most) {
    const size_t size = std::min({input_.size(), most - held_.size(), protocol::kStdioMaxPayload});
    const std::string_view piece = std::string_view(input_).substr(0, size);
    protocol::append_frame(to_agent_, StdioType::kData, Stream::kStdin, input_sent_, piece);
    held_.append(piece);
    input_.erase(0, size);
    input_sent_ += size;
  }
  if (input_ended_ && input_.empty()) {
    input_closed_ = true;
    protocol::append_frame(to_agent_, StdioType::kEof, Stream::kStdin, input_sent_);
  }
}

void SessionStdio::deliver() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].bytes.erase(0, deliver(i, outputs_[i].bytes));
  }
}

size_t SessionStdio::deliver(size_t stream, std::string_view bytes) {
  const size_t size = bytes.empty() ? 0 : take_(stream, bytes);
  if (size == 0) return 0;
  outputs_[stream].offset += size;
  if (agent_) {
    protocol::append_frame(to_agent_, StdioType::kAck,
                           stream == 1 ? Stream::kStderr : Stream::kStdout,
                           outputs_[stream].offset);
  }
  return size;
}

void SessionStdio::acknowledge_exit() {
  if (!agent_) return;
  protocol::append_frame(to_agent_, StdioType::kExitAck, Stream::kStdin, 0);
  (void)send_some(agent_.get(), to_agent_);
}

void SessionStdio::fail(std::string_view text) {
  exited_ = true;
  exit_ = {};
  exit_.exit_code = kFailed;
  agent_.reset();
  outputs_[1].bytes += "tether: " + common::escape(text) + "\r\n";
}

void SessionStdio::resize(uint16_t rows, uint16_t columns) {
  rows_ = rows;
  columns_ = columns;
  if (!agent_) return;
  const std::array<char, 4> size = {static_cast<char>(rows & 0xffU), static_cast<char>(rows >> 8U),
                                    static_cast<char>(columns & 0xffU),
                                    static_cast<char>(columns >> 8U)};
  protocol::append_frame(to_agent_, StdioType::kResize, Stream::kStdin, 0,
                         {size.data(), size.size()});
}

}  // namespace tether
