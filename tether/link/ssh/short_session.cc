#include "tether/link/ssh/short_session.h"

#include <algorithm>

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
    attach(reply.session());
  });
  over_ = request_.empty();
}

ShortSession::~ShortSession() {
  if (!request_.empty()) services_.forget(request_);
}

void ShortSession::attach(uint32_t session) {
  if (session != 0) agent_ = services_.open(SshAsk::kServeStdio);
  if (!agent_) {
    over_ = true;
    return;
  }
  protocol::StdioAttach wanted;
  wanted.session = session;
  to_agent_ += protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, encode(wanted));
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
    to_agent_ += protocol::encode_frame(StdioType::kAck, header.stream,
                                        header.offset + frame.payload.size());
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
  if (!open || reader_.bad()) over_ = true;
  if (over_) agent_.reset();
}

}  // namespace tether
