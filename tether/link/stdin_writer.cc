#include "tether/link/stdin_writer.h"

#include <algorithm>
#include <utility>

namespace tether {

LinkHeader StdinWriter::header(LinkType type, uint64_t offset) const {
  LinkHeader out;
  out.type = type;
  out.session = session_;
  out.offset = offset;
  out.writer = writer_;
  return out;
}

void StdinWriter::start_first(SupervisorPort& port, uint32_t session,
                              const std::array<uint64_t, 2>& writer) {
  port_ = &port;
  session_ = session;
  writer_ = writer;
  known_ = true;
}

void StdinWriter::start(SupervisorPort& port, uint32_t session,
                        const std::array<uint64_t, 2>& writer) {
  start_first(port, session, writer);
  known_ = false;
  port_->send(header(LinkType::kStdinQuery, 0));
}

bool StdinWriter::push(uint64_t offset, std::string_view bytes, uint64_t now_ms) {
  if (offset > end()) return false;
  if (eof_ && offset + bytes.size() > end()) return false;
  const uint64_t repeated = end() - offset;
  if (repeated >= bytes.size()) return true;
  bytes.remove_prefix(static_cast<size_t>(repeated));
  if (closed_) {  // Nobody reads any more: taken and gone, as with a closed pipe.
    accepted_ += bytes.size();
    sent_ = accepted_;
    return true;
  }
  if (bytes.size() > held_.room()) return false;
  held_.append(bytes);
  pump(now_ms);
  return true;
}

bool StdinWriter::push_eof(uint64_t offset, uint64_t now_ms) {
  if (offset > end() || (offset < end() && !closed_)) return false;
  eof_ = true;
  pump(now_ms);
  return true;
}

void StdinWriter::on_ack(uint64_t offset, bool closed, uint64_t now_ms) {
  take(offset, closed, now_ms);
  pump(now_ms);
}

void StdinWriter::on_answer(uint64_t offset, bool closed, uint64_t now_ms) {
  known_ = true;
  take(offset, closed, now_ms);
  if (std::exchange(asked_, false) && accepted_ < sent_) {
    // It refused the rest for want of room, or has not told yet: repeating does no harm.
    sent_ = accepted_;
    pieces_.clear();
  }
  pump(now_ms);
}

void StdinWriter::take(uint64_t offset, bool closed, uint64_t now_ms) {
  if (offset > accepted_) {
    held_.drop(static_cast<size_t>(std::min<uint64_t>(offset - accepted_, held_.size())));
    accepted_ = offset;
    sent_ = std::max(sent_, accepted_);
    query_wait_ms_ = kFirstQueryMs;
    query_at_ms_ = now_ms + query_wait_ms_;
  }
  while (!pieces_.empty() && pieces_.front() <= accepted_) pieces_.pop_front();
  if (closed) {
    closed_ = true;
    accepted_ = sent_ = end();
    held_.drop(held_.size());
    pieces_.clear();
  }
}

uint64_t StdinWriter::next_deadline_ms() const {
  return pieces_.empty() ? ~uint64_t{0} : query_at_ms_;
}

void StdinWriter::on_time(uint64_t now_ms) {
  if (now_ms < next_deadline_ms()) return;
  query_wait_ms_ = std::min(query_wait_ms_ * 2, kLongestQueryMs);
  query_at_ms_ = now_ms + query_wait_ms_;
  asked_ = true;
  port_->send(header(LinkType::kStdinQuery, 0));
}

void StdinWriter::pump(uint64_t now_ms) {
  if (!known_ || closed_) return;
  while (sent_ < end() && sent_ - accepted_ < kMaxInFlight && pieces_.size() < kMaxPieces &&
         !port_->congested()) {
    const auto start = static_cast<size_t>(sent_ - accepted_);
    const std::string_view piece = held_.piece(start, kLinkMaxPayload);
    if (pieces_.empty()) query_at_ms_ = now_ms + query_wait_ms_;
    port_->send(header(LinkType::kStdin, sent_), piece);
    sent_ += piece.size();
    pieces_.push_back(sent_);
  }
  // Behind everything accepted: a piece that was refused must not be cut off by the end.
  if (eof_ && !eof_sent_ && held_.empty() && !port_->congested()) {
    eof_sent_ = true;
    port_->send(header(LinkType::kStdinEof, accepted_));
  }
}

}  // namespace tether
