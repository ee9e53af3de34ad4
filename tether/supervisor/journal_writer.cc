#include "tether/supervisor/journal_writer.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tether/supervisor/clock.h"

namespace tether {
namespace {

// What may wait when output is added; the rest of the buffer is the events'.
constexpr size_t kOutputUpTo = 32 * 1024;

}  // namespace

void JournalWriter::stamp(protocol::JournalRecord& record) {
  record.number = next_number_++;
  record.monotonic_ns = now_ns(CLOCK_BOOTTIME);
  record.wall_ns = wall_ns();
}

// Readers look for times in order.
uint64_t JournalWriter::wall_ns() {
  const uint64_t now = clock_.now_ns();
  const bool small_step_back = now < last_wall_ns_ && last_wall_ns_ - now < kSmallStepNs;
  if (!small_step_back) last_wall_ns_ = now;
  return last_wall_ns_;
}

bool JournalWriter::reserve(size_t size) {
  if (pending_.size() - end_ >= size) return true;
  std::memmove(pending_.data(), pending_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  return pending_.size() - end_ >= size;
}

uint64_t JournalWriter::write(protocol::JournalRecord record) {
  stamp(record);
  if (!port_) return record.number;
  reserve(protocol::kJournalHeaderSize + record.payload.size() + protocol::kJournalCheckSize);
  const bool idle = !waiting();
  const size_t size =
      protocol::encode_record(record, pending_.data() + end_, pending_.size() - end_, secret_);
  if (size == 0) {
    ++lost_;
    return record.number;
  }
  if (idle) waiting_since_ms_ = now_ms();
  end_ += size;
  flush();
  return record.number;
}

bool JournalWriter::write_output(uint32_t session, uint32_t stream, uint64_t offset,
                                 const std::array<std::string_view, 2>& bytes) {
  if (!port_ || end_ - begin_ > kOutputUpTo) return false;
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kOutput;
  record.session = session;
  record.value = stream;
  const size_t payload = sizeof offset + bytes[0].size() + bytes[1].size();
  if (!reserve(protocol::kJournalHeaderSize + payload + protocol::kJournalCheckSize)) return false;
  const bool idle = !waiting();
  stamp(record);
  const size_t size = protocol::encode_output(
      record, offset, bytes[0], bytes[1], pending_.data() + end_, pending_.size() - end_, secret_);
  if (idle) waiting_since_ms_ = now_ms();
  end_ += size;
  flush();
  return true;
}

bool JournalWriter::flush() {
  if (held_) return false;
  while (begin_ < end_) {
    const ssize_t n = ::write(port_.get(), pending_.data() + begin_, end_ - begin_);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    begin_ += static_cast<size_t>(n);
    waiting_since_ms_ = now_ms();
  }
  begin_ = end_ = 0;
  if (lost_ == 0) return true;
  protocol::JournalRecord gap;
  gap.kind = protocol::EventKind::kGap;
  gap.value = lost_;
  lost_ = 0;
  write(gap);
  return !waiting();
}

JournalWriter::Rest JournalWriter::rest(std::string_view& waiting) const {
  const bool whole = begin_ <= end_ && end_ <= pending_.size();
  waiting = whole ? std::string_view(pending_.data() + begin_, end_ - begin_) : std::string_view();
  return {port_.get(), secret_, lost_, next_number_, last_wall_ns_};
}

void JournalWriter::go_on(const Rest& rest, std::string_view waiting) {
  port_.reset(rest.port);
  secret_ = rest.secret;
  lost_ = rest.lost;
  next_number_ = rest.next_number;
  last_wall_ns_ = rest.last_wall_ns;
  begin_ = 0;
  end_ = waiting.copy(pending_.data(), pending_.size());
  waiting_since_ms_ = now_ms();
}

bool JournalWriter::stalled() const {
  return waiting() && now_ms() >= waiting_since_ms_ + kPatienceMs;
}

uint64_t JournalWriter::stall_deadline_ms() const {
  return port_ && waiting() && !stalled() ? waiting_since_ms_ + kPatienceMs : ~uint64_t{0};
}

void JournalWriter::drain(int timeout_ms) {
  const uint64_t deadline = now_ms() + static_cast<uint64_t>(timeout_ms);
  while (port_ && !flush() && !stalled()) {
    const uint64_t now = now_ms();
    const uint64_t until = std::min(deadline, stall_deadline_ms());
    if (now >= until) return;
    pollfd waiting{port_.get(), POLLOUT, 0};
    ::poll(&waiting, 1, static_cast<int>(until - now) + 1);
    if ((waiting.revents & POLLHUP) != 0) return;
  }
}

}  // namespace tether
