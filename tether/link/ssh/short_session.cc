#include "tether/link/ssh/short_session.h"

#include <algorithm>
#include <cstring>

namespace tether {

using protocol::StdioType;
using protocol::Stream;

ShortSession::ShortSession(SshServices& services, ::tether::v1::Login::Kind kind,
                           const std::string& user, const std::string& argument)
    : services_(services) {
  SshServices::Request request;
  request.mutable_exec()->mutable_login()->set_kind(kind);
  auto& session = *request.mutable_exec()->mutable_session();
  session.set_user(user);
  if (!argument.empty()) session.add_argv(argument);
  request_ = services_.ask(std::move(request), [this](const SshServices::Reply& reply) {
    request_.clear();
    session_ = reply.session();
    if (session_ == 0 || !agent_) attach();
  });
  over_ = request_.empty();
  if (!over_) expect();
}

ShortSession::~ShortSession() {
  if (!request_.empty()) services_.forget(request_);
}

// What the exec will start. If that fails its answer says what it was.
void ShortSession::expect() {
  std::memcpy(wanted_.writer.data(), request_.data(),
              std::min(request_.size(), wanted_.writer.size()));
  wanted_.flags |= protocol::StdioAttach::kOfExec;
  wanted_.session = protocol::StdioAttach::kOfExecSession;
  connect();
}

// Again where a link process was replaced meanwhile.
void ShortSession::attach() {
  agent_.reset();
  wanted_.session = session_;
  wanted_.flags &= ~protocol::StdioAttach::kOfExec;
  if (session_ != 0) connect();
  if (!agent_) over_ = true;
}

void ShortSession::connect() {
  reader_ = {};
  to_agent_.clear();
  wanted_.stdout_offset = received_[0];
  wanted_.stderr_offset = received_[1];
  const std::string frame =
      protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, encode(wanted_));
  agent_ = services_.open(SshAsk::kServeStdio, frame);
}

pollfd ShortSession::waits() const {
  if (!agent_) return {-1, 0, 0};
  return {agent_.get(), static_cast<short>(POLLIN | (to_agent_.empty() ? 0 : POLLOUT)), 0};
}

void ShortSession::on_frame(const protocol::StdioReader::Frame& frame) {
  const auto& header = frame.header;
  if (header.type == StdioType::kData) {
    if (header.stream == Stream::kStdout) {
      output_ += frame.payload.substr(0, kMaxOutput - std::min(kMaxOutput, output_.size()));
    }
    const uint64_t end = header.offset + frame.payload.size();
    received_[header.stream == Stream::kStderr ? 1 : 0] = end;
    to_agent_ += protocol::encode_frame(StdioType::kAck, header.stream, end);
  } else if (header.type == StdioType::kExit) {
    const auto exit = protocol::decode_exit(frame.payload);
    worked_ = exit && exit->exit_code == 0 && exit->stage == 0;
    over_ = true;
    to_agent_ += protocol::encode_frame(StdioType::kExitAck, Stream::kStdin, 0);
  }
}

void ShortSession::pump() {
  if (over_ || !agent_) return;
  std::string bytes;
  const bool open = send_some(agent_.get(), to_agent_) && receive_some(agent_.get(), bytes);
  reader_.feed(bytes);
  while (const auto frame = reader_.next()) on_frame(*frame);
  if (agent_) (void)send_some(agent_.get(), to_agent_);
  if (over_ || reader_.bad() || (!open && ++lost_ > SshServices::kMostLost)) {
    over_ = true;
    agent_.reset();
  } else if (!open && !request_.empty()) {
    agent_.reset();  // The exec's answer is to come.
  } else if (!open) {
    attach();
  }
}

}  // namespace tether
