#include "vch/interaction/stdio_client.h"

#include <algorithm>

namespace vch {

using protocol::StdioAttached;
using protocol::StdioType;
using protocol::Stream;

StdioClient::StdioClient(const Options& options)
    : options_(options), input_open_(options.want_input) {}

void StdioClient::on_connected() { attach_due_ = true; }

void StdioClient::on_disconnected() {
  attach_due_ = attached_ = exit_here_ = exit_ack_sent_ = false;
  for (OutputState& output : outputs_) output.gap_end = 0;  // The next agent says it again.
  reader_ = {};
  out_.clear();
  out_start_ = 0;
}

bool StdioClient::gap_open() const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [](const OutputState& output) { return output.received < output.gap_end; });
}

bool StdioClient::wants_bytes() const {
  return !gap_open() &&
         std::all_of(outputs_.begin(), outputs_.end(),
                     [](const OutputState& output) { return output.waiting() < kOutputQueue; });
}

bool StdioClient::on_bytes(std::string_view bytes) {
  reader_.feed(bytes);
  while (!gap_open()) {
    const auto frame = reader_.next();
    if (!frame) break;
    if (refusal_) return true;
    if (!on_frame(*frame)) return false;
  }
  return !reader_.bad();
}

bool StdioClient::on_frame(const protocol::StdioReader::Frame& frame) {
  if (frame.header.type == StdioType::kError) {
    refusal_ = std::string(frame.payload);
    return true;
  }
  if (!attached_) {
    return frame.header.type == StdioType::kAttached && !attach_due_ && on_attached(frame.payload);
  }
  switch (frame.header.type) {
    case StdioType::kData:
    case StdioType::kEof:
    case StdioType::kGap:
      return on_output(frame);
    case StdioType::kAck:
      return frame.header.stream == Stream::kStdin && on_input_ack(frame.header.offset);
    case StdioType::kExit:
      return on_exit(frame.payload);
    default:
      return false;
  }
}

bool StdioClient::on_attached(std::string_view payload) {
  const auto attached = protocol::decode_attached(payload);
  if (!attached) return false;
  const std::array<uint64_t, 2> first = {attached->stdout_offset, attached->stderr_offset};
  for (size_t i = 0; i < outputs_.size(); ++i) {
    OutputState& output = outputs_[i];
    if (!ever_attached_ && options_.from_oldest) output.received = first[i];
    // It begins where we asked, or later, and then a GAP says so.
    if (first[i] < output.asked) return false;
    output.seen = output.acked = std::min(first[i], output.received);
    output.ended_here = false;
  }
  if (!place_input(*attached)) return false;
  const bool wide = (attached->flags & StdioAttached::kWideStdin) != 0;
  input_window_ = (wide ? protocol::kWideStdinWindow : protocol::kStdinWindow) - kInputReserve;
  tty_ = (attached->flags & StdioAttached::kTty) != 0;
  attached_ = ever_attached_ = true;
  return true;
}

bool StdioClient::place_input(const StdioAttached& attached) {
  if ((attached.flags & StdioAttached::kStdinOpen) == 0) input_open_ = false;
  if (!input_open_) {
    held_.clear();
    return true;
  }
  if (attached.stdin_offset < input_accepted_ || attached.stdin_offset > input_end()) return false;
  drop_input(attached.stdin_offset);
  input_sent_ = input_accepted_;
  input_end_sent_ = false;
  return true;
}

bool StdioClient::on_output(const protocol::StdioReader::Frame& frame) {
  if (frame.header.stream == Stream::kStdin) return false;
  OutputState& output = outputs_[static_cast<size_t>(frame.header.stream) - 1];
  const uint64_t offset = frame.header.offset;
  if (output.ended_here) return false;
  if (frame.header.type == StdioType::kGap) {
    if (offset < output.seen || !frame.payload.empty()) return false;
    output.seen = offset;
    output.gap_end = offset;
    return true;
  }
  if (offset != output.seen) return false;
  if (frame.header.type == StdioType::kData) return on_data(output, frame.payload);
  output.ended_here = true;
  return frame.payload.empty() && output.seen == output.received;
}

bool StdioClient::on_data(OutputState& output, std::string_view payload) {
  if (payload.size() > ~output.seen) return false;
  const uint64_t known = output.received - output.seen;  // came on an earlier connection
  output.seen += payload.size();
  if (known >= payload.size()) return true;
  payload.remove_prefix(static_cast<size_t>(known));
  take(output, payload);
  return true;
}

void StdioClient::take(OutputState& output, std::string_view bytes) {
  if (output.start > output.queue.size() / 2) {
    output.queue.erase(0, output.start);
    output.start = 0;
  }
  output.queue += bytes;
  output.received += bytes.size();
}

std::optional<uint64_t> StdioClient::missing_until(Output stream) const {
  const OutputState& output = state(stream);
  return output.received < output.gap_end ? std::optional(output.gap_end) : std::nullopt;
}

size_t StdioClient::output_room(Output stream) const {
  return kOutputQueue - std::min(kOutputQueue, state(stream).waiting());
}

void StdioClient::fill(Output stream, std::string_view bytes) {
  take(outputs_[static_cast<size_t>(stream)], bytes);
}

void StdioClient::give_up(Output stream, uint64_t offset) {
  OutputState& output = outputs_[static_cast<size_t>(stream)];
  if (offset <= output.received) return;
  dropped_ += offset - output.received;
  output.received = offset;
}

bool StdioClient::on_input_ack(uint64_t offset) {
  if (!input_open_) return true;
  // More than was sent on this connection: an earlier one's bytes were still under way.
  if (offset < input_accepted_ || offset > input_end()) return false;
  drop_input(offset);
  input_sent_ = std::max(input_sent_, offset);
  return true;
}

void StdioClient::drop_input(uint64_t accepted) {
  held_.erase(0, static_cast<size_t>(accepted - input_accepted_));
  input_accepted_ = accepted;
}

bool StdioClient::on_exit(std::string_view payload) {
  if (!outputs_[0].ended_here || !outputs_[1].ended_here || exit_here_) return false;
  exit_ = protocol::decode_exit(payload);
  exit_here_ = exit_.has_value();
  input_open_ = false;
  return exit_here_;
}

std::string_view StdioClient::pending(Output stream) const {
  const OutputState& output = outputs_[static_cast<size_t>(stream)];
  return std::string_view(output.queue).substr(output.start);
}

void StdioClient::written(Output stream, size_t size) {
  OutputState& output = outputs_[static_cast<size_t>(stream)];
  output.start += size;
  if (output.start == output.queue.size()) {
    output.queue.clear();
    output.start = 0;
  }
}

bool StdioClient::done() const {
  return exit_ && outputs_[0].waiting() == 0 && outputs_[1].waiting() == 0;
}

size_t StdioClient::input_room() const {
  if (!attached_ || !input_open_ || input_ended_) return 0;
  return input_window_ - std::min(input_window_, held_.size());
}

void StdioClient::push_input(std::string_view bytes) {
  if (input_open_ && !input_ended_) held_ += bytes;
}

void StdioClient::set_window(uint16_t rows, uint16_t columns) {
  if (rows == 0 || columns == 0) return;
  if (rows == options_.rows && columns == options_.columns) return;
  options_.rows = rows;
  options_.columns = columns;
  window_due_ = true;
}

bool StdioClient::acks_owed() const {
  return attached_ && std::any_of(outputs_.begin(), outputs_.end(), [](const OutputState& output) {
           return output.ack() > output.acked;
         });
}

}  // namespace vch
