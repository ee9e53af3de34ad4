// What a client says.
#include <algorithm>
#include <cstring>

#include "protocol/bytes.h"
#include "tether/link/attach.h"

namespace tether {

using protocol::StdioType;
using protocol::Stream;

void Attach::on_bytes(std::string_view bytes, uint64_t now_ms) {
  if (ending_ != Ending::kNone) return;
  reader_.feed(bytes);
  take_frames(now_ms);
}

bool Attach::wants_input() const {
  if (ending_ != Ending::kNone) return false;
  if (phase_ == Phase::kWaitSession || phase_ == Phase::kWaitStdin) return false;
  return !port_.congested() && writer_.has_room();
}

void Attach::take_frames(uint64_t now_ms) {
  while (wants_input()) {
    const auto frame = reader_.next();
    if (!frame) break;
    if (!on_frame(*frame, now_ms)) ending_ = Ending::kReset;
  }
  if (reader_.bad()) ending_ = Ending::kReset;
}

// False: the client broke the protocol.
bool Attach::on_frame(const protocol::StdioReader::Frame& frame, uint64_t now_ms) {
  const auto& header = frame.header;
  if (phase_ == Phase::kExpectAttach) return on_attach(frame);
  switch (header.type) {
    case StdioType::kData:
    case StdioType::kEof:
      if (header.stream != Stream::kStdin || !wants_stdin()) return false;
      if (!writer_.started()) return true;  // The session takes no input; nobody waits for an ack.
      if (SessionView* session = sessions_.find(session_)) session->stdin_used = true;
      return header.type == StdioType::kData ? writer_.push(header.offset, frame.payload, now_ms)
                                             : writer_.push_eof(header.offset, now_ms);
    case StdioType::kAck:
      return on_client_ack(header);
    case StdioType::kResize:
      return on_resize(frame.payload);
    case StdioType::kExitAck:
      if (!exit_sent_) return false;
      exit_acknowledged_ = true;
      ending_ = Ending::kFinish;
      return true;
    default:
      return false;
  }
}

bool Attach::on_attach(const protocol::StdioReader::Frame& frame) {
  if (frame.header.type != StdioType::kAttach) return false;
  const auto attach = protocol::decode_attach(frame.payload);
  if (!attach) return false;
  attach_ = *attach;
  static_assert(sizeof writer_id_ == sizeof attach_.writer);
  std::memcpy(writer_id_.data(), attach_.writer.data(), sizeof writer_id_);
  if (login_ && !of_exec() && !login_->ids.contains(attach_.session)) {
    refuse("session " + std::to_string(attach_.session) + " is not of this login");
    return true;
  }
  phase_ = Phase::kWaitSession;
  advance();
  return true;
}

bool Attach::on_client_ack(const protocol::StdioHeader& header) {
  if (header.stream == Stream::kStdin || !wants_output()) return false;
  Output& output = outputs_[static_cast<size_t>(header.stream) - 1];
  if (header.offset > output.next) return false;
  output.acknowledged = std::max(output.acknowledged, header.offset);
  output.delivered = std::max(output.delivered, header.offset);
  return true;
}

bool Attach::on_resize(std::string_view payload) {
  protocol::FieldReader in(payload);
  const auto rows = in.get<uint16_t>();
  const auto columns = in.get<uint16_t>();
  if (!in.ok() || !in.rest().empty()) return false;
  send_resize(rows, columns);
  return true;
}

void Attach::send_resize(uint16_t rows, uint16_t columns) {
  if (rows == 0 || columns == 0) return;
  LinkHeader header;
  header.type = LinkType::kResize;
  header.session = session_;
  header.value = uint32_t{rows} << 16U | columns;
  port_.send(header);
}

}  // namespace tether
