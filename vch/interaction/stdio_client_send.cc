// What a client says.
#include <utility>

#include "protocol/bytes.h"
#include "vch/interaction/stdio_client.h"

namespace vch {

using protocol::StdioAttach;
using protocol::StdioType;
using protocol::Stream;

namespace {
constexpr size_t kInputPiece = 32 * 1024;
}

std::string_view StdioClient::to_send() {
  if (out_start_ == out_.size()) {
    out_.clear();
    out_start_ = 0;
    compose();
  }
  return std::string_view(out_).substr(out_start_);
}

void StdioClient::sent(size_t size) {
  out_start_ += size;
  if (out_start_ == out_.size()) {
    out_.clear();
    out_start_ = 0;
  }
}

void StdioClient::put(StdioType type, size_t stream, uint64_t offset, std::string_view payload) {
  out_ += protocol::encode_frame(type, static_cast<Stream>(stream), offset, payload);
}

// Frames are made only once the ones before are on their way, so acknowledgements never pile up.
void StdioClient::compose() {
  if (std::exchange(attach_due_, false)) return compose_attach();
  if (!attached_) return;
  compose_window();
  compose_acks();
  compose_input();
  if (exit_here_ && done() && !exit_ack_sent_) {
    exit_ack_sent_ = true;
    put(StdioType::kExitAck, 0, 0);
  }
}

void StdioClient::compose_attach() {
  StdioAttach attach;
  attach.session = options_.session;
  attach.flags = StdioAttach::kWantOutput | (options_.want_input ? StdioAttach::kWantStdin : 0U);
  attach.writer = options_.writer;
  const bool oldest = options_.from_oldest && !ever_attached_;
  for (OutputState& output : outputs_) output.asked = output.written();
  attach.stdout_offset = oldest ? StdioAttach::kFromOldest : outputs_[0].asked;
  attach.stderr_offset = oldest ? StdioAttach::kFromOldest : outputs_[1].asked;
  attach.rows = options_.rows;
  attach.columns = options_.columns;
  window_due_ = options_.repaint && !ever_attached_ && attach.rows != 0;
  if (window_due_) ++attach.rows;
  put(StdioType::kAttach, 0, 0, protocol::encode(attach));
}

void StdioClient::compose_window() {
  if (!std::exchange(window_due_, false)) return;
  std::string size;
  protocol::put(size, options_.rows);
  protocol::put(size, options_.columns);
  put(StdioType::kResize, 0, 0, size);
}

void StdioClient::compose_acks() {
  const bool all = flush_acks_ || done();
  flush_acks_ = false;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    OutputState& output = outputs_[i];
    const uint64_t ack = output.ack();
    if (ack <= output.acked || (!all && ack - output.acked < kAckEvery)) continue;
    output.acked = ack;
    put(StdioType::kAck, i + 1, ack);
  }
}

void StdioClient::compose_input() {
  if (!input_open_) return;
  while (input_sent_ < input_end()) {
    const auto start = static_cast<size_t>(input_sent_ - input_accepted_);
    const auto piece = std::string_view(held_).substr(start, kInputPiece);
    put(StdioType::kData, 0, input_sent_, piece);
    input_sent_ += piece.size();
  }
  if (input_ended_ && !input_end_sent_) {
    input_end_sent_ = true;
    put(StdioType::kEof, 0, input_sent_);
  }
}

}  // namespace vch
