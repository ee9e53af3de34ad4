#include "tether/link/ssh/session_channel.h"

#include <libssh/server.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "protocol/stage.h"

namespace tether {
namespace {

using protocol::StdioType;
using protocol::Stream;

constexpr size_t kMaxVariables = 64;
constexpr size_t kMaxVariable = 4096;
constexpr size_t kMaxCommand = 128 * 1024;
constexpr int kFailed = 255;  // as OpenSSH's client says it

bool may_set(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames = {"LANG", "LANGUAGE", "TZ", "COLORTERM",
                                                             "GIT_PROTOCOL"};
  return name.starts_with("LC_") || std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// Of "TERM", as RFC 4254 names them; 0: it is none.
int signal_number(std::string_view name) {
  for (int number = 1; number < 32; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  return 0;
}

}  // namespace

SessionChannel::SessionChannel(ssh_channel channel, SshServices& services, std::string user)
    : SshChannel(channel), services_(services), user_(std::move(user)) {
  set_callbacks();
}

SessionChannel::~SessionChannel() {
  if (!request_.empty()) services_.forget(request_);
}

void SessionChannel::set_callbacks() {
  auto& on = *callbacks();
  on.channel_pty_request_function = [](ssh_session, ssh_channel, const char* term, int columns,
                                       int rows, int, int, void* self) {
    auto& channel = of(self);
    if (channel.started_ || ::strlen(term) > kMaxVariable) return -1;
    channel.tty_ = true;
    channel.env_["TERM"] = term;
    channel.resize(columns, rows);
    return 0;
  };
  on.channel_pty_window_change_function = [](ssh_session, ssh_channel, int columns, int rows, int,
                                             int, void* self) {
    of(self).resize(columns, rows);
    return 0;
  };
  on.channel_env_request_function = [](ssh_session, ssh_channel, const char* name,
                                       const char* value, void* self) {
    auto& channel = of(self);
    const bool good = may_set(name) && ::strlen(name) + ::strlen(value) <= kMaxVariable;
    if (channel.started_ || !good || channel.env_.size() >= kMaxVariables) return 1;
    channel.env_[name] = value;
    return 0;
  };
  on.channel_shell_request_function = [](ssh_session, ssh_channel, void* self) {
    return of(self).start(::tether::v1::Login::SHELL, nullptr) ? 0 : 1;
  };
  on.channel_exec_request_function = [](ssh_session, ssh_channel, const char* command, void* self) {
    return of(self).start(::tether::v1::Login::SHELL, command) ? 0 : 1;
  };
  on.channel_subsystem_request_function = [](ssh_session, ssh_channel, const char* name,
                                             void* self) {
    if (std::string_view(name) == kSshLinkSubsystem) of(self).refuse_link();
    if (std::string_view(name) != "sftp") return 1;
    return of(self).start(::tether::v1::Login::SFTP, nullptr) ? 0 : 1;
  };
  on.channel_signal_function = [](ssh_session, ssh_channel, const char* name, void* self) {
    of(self).signal(signal_number(name));
  };
}

void SessionChannel::refuse_link() {
  services_.news(SshAsk::kRefused,
                 "user " + user_ + ": the control plane is for the link's key alone");
}

bool SessionChannel::start(::tether::v1::Login::Kind kind, const char* command) {
  if (started_ || (command != nullptr && ::strlen(command) > kMaxCommand)) return false;
  started_ = true;
  SshServices::Request request;
  auto& exec = *request.mutable_exec();
  exec.mutable_login()->set_kind(kind);
  auto& session = *exec.mutable_session();
  session.set_user(user_);
  session.set_open_stdin(true);
  session.set_tty(tty_ && kind == ::tether::v1::Login::SHELL);
  session.mutable_window()->set_rows(rows_);
  session.mutable_window()->set_columns(columns_);
  if (command != nullptr) session.add_argv(command);
  for (const auto& [name, value] : env_) session.add_env(name + "=" + value);
  request_ = services_.ask(std::move(request), [this](const auto& reply) { on_started(reply); });
  return !request_.empty();
}

void SessionChannel::on_started(const ::tether::v1::Reply& reply) {
  request_.clear();
  if (!reply.has_failure()) return attach(reply.session());
  const auto& failure = reply.failure();
  fail(failure.object() + ": " + ::strerrordesc_np(static_cast<int>(failure.errno_value())) +
       (failure.hint().empty() ? "" : " (" + failure.hint() + ")"));
}

void SessionChannel::attach(uint32_t session) {
  session_ = session;
  const bool random =
      ::getrandom(writer_.data(), writer_.size(), 0) == static_cast<ssize_t>(writer_.size());
  if (!random || !connect()) fail("no connection to the session");
}

// Goes on where the last connection ended, if there was one.
bool SessionChannel::connect() {
  agent_ = services_.open(SshAsk::kServeStdio);
  if (!agent_) return false;
  reader_ = {};
  to_agent_.clear();
  protocol::StdioAttach wanted;
  wanted.session = session_;
  wanted.flags = protocol::StdioAttach::kWantStdin | protocol::StdioAttach::kWantOutput;
  wanted.writer = writer_;
  wanted.stdout_offset = outputs_[0].end();
  wanted.stderr_offset = outputs_[1].end();
  wanted.rows = rows_;
  wanted.columns = columns_;
  to_agent_ += protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, encode(wanted));
  return true;
}

// The link process may have been replaced: its successor serves us as well.
void SessionChannel::on_lost() {
  agent_.reset();
  if (exited_) return;
  resuming_ = true;
  if (++lost_ > SshServices::kMostLost || !connect()) fail("the session was lost");
}

size_t SessionChannel::wants_input() const {
  return input_.size() < kMaxHeld ? kMaxHeld - input_.size() : 0;
}

pollfd SessionChannel::waits() const {
  if (!agent_) return {-1, 0, 0};
  const bool room = outputs_[0].bytes.size() + outputs_[1].bytes.size() < kMaxHeld;
  return {agent_.get(), static_cast<short>((room ? POLLIN : 0) | (to_agent_.empty() ? 0 : POLLOUT)),
          0};
}

void SessionChannel::work() {
  deliver();
  if (agent_) {
    send_input();
    const bool room = outputs_[0].bytes.size() + outputs_[1].bytes.size() < kMaxHeld;
    if (room && woken() && !take_frames()) on_lost();
    deliver();
    send_input();
    if (agent_ && !send_some(agent_.get(), to_agent_)) on_lost();
  }
  if (exited_ && outputs_[0].bytes.empty() && outputs_[1].bytes.empty()) end();
}

bool SessionChannel::take_frames() {
  std::string_view bytes;
  const bool open = receive_some(agent_.get(), bytes);
  reader_.feed(bytes);
  while (const auto frame = reader_.next()) on_frame(*frame);
  return open && !reader_.bad();
}

void SessionChannel::on_frame(const protocol::StdioReader::Frame& frame) {
  const auto& header = frame.header;
  switch (header.type) {
    case StdioType::kData: {
      const size_t stream = header.stream == Stream::kStderr ? 1 : 0;
      Output& output = outputs_[stream];
      std::string_view rest = frame.payload;
      if (output.bytes.empty()) {
        output.offset = header.offset;
        rest.remove_prefix(deliver(stream, rest));
      }
      output.bytes += rest;
      return;
    }
    case StdioType::kAttached:
      if (!on_attached(frame.payload)) fail("the session was lost");
      return;
    case StdioType::kAck:
      return on_input_taken(header.offset);
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

bool SessionChannel::on_attached(std::string_view payload) {
  const auto attached = protocol::decode_attached(payload);
  if (!attached) return false;
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

void SessionChannel::on_input_taken(uint64_t offset) {
  if (offset <= input_taken_ || offset > input_taken_ + held_.size()) return;
  held_.drop(static_cast<size_t>(offset - input_taken_));
  input_taken_ = offset;
  input_sent_ = std::max(input_sent_, offset);
}

void SessionChannel::send_input() {
  if (!agent_ || resuming_ || input_closed_) return;
  // What was under way on a connection that was lost.
  while (input_sent_ < input_taken_ + held_.size()) {
    const auto at = static_cast<size_t>(input_sent_ - input_taken_);
    const std::string_view piece = held_.piece(at, protocol::kStdioMaxPayload);
    protocol::append_frame(to_agent_, StdioType::kData, Stream::kStdin, input_sent_, piece);
    input_sent_ += piece.size();
  }
  const size_t most = window_ - 1;
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
    to_agent_ += protocol::encode_frame(StdioType::kEof, Stream::kStdin, input_sent_);
  }
}

void SessionChannel::deliver() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].bytes.erase(0, deliver(i, outputs_[i].bytes));
  }
}

// How many of these bytes, the next ones of the stream, the client has taken.
size_t SessionChannel::deliver(size_t stream, std::string_view bytes) {
  const size_t size = bytes.empty() ? 0 : write(bytes, stream == 1);
  if (size == 0) return 0;
  outputs_[stream].offset += size;
  if (agent_) {
    protocol::append_frame(to_agent_, StdioType::kAck,
                           stream == 1 ? Stream::kStderr : Stream::kStdout,
                           outputs_[stream].offset);
  }
  return size;
}

void SessionChannel::end() {
  if (exit_.stage != 0 && !exit_.object.empty()) {
    const std::string stage(protocol::stage_name(static_cast<protocol::Stage>(exit_.stage)));
    const std::string why = ::strerrordesc_np(static_cast<int>(exit_.errno_value));
    const std::string line =
        "tether: " + stage + ": " + common::escape(exit_.object) + ": " + why + "\r\n";
    write(line, true);
  }
  const char* name = exit_.signal != 0 ? ::sigabbrev_np(static_cast<int>(exit_.signal)) : nullptr;
  if (name != nullptr) {
    ssh_channel_request_send_exit_signal(channel(), name, 0, "", "");
  } else {
    ssh_channel_request_send_exit_status(channel(), static_cast<int>(exit_.exit_code));
  }
  if (agent_) {
    to_agent_ += protocol::encode_frame(StdioType::kExitAck, Stream::kStdin, 0);
    (void)send_some(agent_.get(), to_agent_);
  }
  close();
}

void SessionChannel::fail(std::string_view text) {
  exited_ = true;
  exit_ = {};
  exit_.exit_code = kFailed;
  agent_.reset();
  outputs_[1].bytes += "tether: " + common::escape(text) + "\r\n";
}

void SessionChannel::resize(int columns, int rows) {
  rows_ = static_cast<uint16_t>(std::clamp(rows, 0, 65535));
  columns_ = static_cast<uint16_t>(std::clamp(columns, 0, 65535));
  if (!agent_) return;
  const std::array<char, 4> size = {
      static_cast<char>(rows_ & 0xffU), static_cast<char>(rows_ >> 8U),
      static_cast<char>(columns_ & 0xffU), static_cast<char>(columns_ >> 8U)};
  to_agent_ +=
      protocol::encode_frame(StdioType::kResize, Stream::kStdin, 0, {size.data(), size.size()});
}

void SessionChannel::signal(int number) {
  if (number == 0 || session_ == 0) return;
  SshServices::Request request;
  request.mutable_signal()->set_session(session_);
  request.mutable_signal()->set_number(static_cast<uint32_t>(number));
  request.mutable_signal()->set_whole_group(true);
  services_.ask(std::move(request));
}

// As a terminal's line does that is set to it (BRKINT).
bool SessionChannel::on_break() {
  if (!tty_ || session_ == 0) return false;
  signal(SIGINT);
  return true;
}

// As a terminal that is taken away does. Who takes no notice ends with its last client, which we
// are.
void SessionChannel::hang_up() {
  if (!exited_) signal(SIGHUP);
}

}  // namespace tether
