#include "tether/supervisor/journal_writer.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tether/supervisor/clock.h"

namespace tether {

void JournalWriter::append(protocol::JournalRecord record) {
  const size_t size =
      protocol::encode_record(record, pending_.data() + used_, pending_.size() - used_);
  if (size == 0) {
    ++lost_;
  } else {
    used_ += size;
  }
}

uint64_t JournalWriter::write(protocol::JournalRecord record) {
  record.number = next_number_++;
  record.monotonic_ns = now_ns(CLOCK_BOOTTIME);
  record.wall_ns = now_ns(CLOCK_REALTIME);
  if (!port_) return record.number;
  append(record);
  flush();
  return record.number;
}

bool JournalWriter::flush() {
  size_t done = 0;
  while (done < used_) {
    const ssize_t n = ::write(port_.get(), pending_.data() + done, used_ - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  std::memmove(pending_.data(), pending_.data() + done, used_ - done);
  used_ -= done;
  if (used_ == 0 && lost_ > 0) {
    protocol::JournalRecord gap;
    gap.kind = protocol::EventKind::kGap;
    gap.value = lost_;
    lost_ = 0;
    write(gap);
  }
  return used_ == 0;
}

void JournalWriter::drain(int timeout_ms) {
  const uint64_t deadline =
      now_ns(CLOCK_BOOTTIME) + uint64_t{1000000} * static_cast<uint64_t>(timeout_ms);
  while (port_ && !flush()) {
    const uint64_t now = now_ns(CLOCK_BOOTTIME);
    if (now >= deadline) return;
    pollfd waiting{port_.get(), POLLOUT, 0};
    ::poll(&waiting, 1, static_cast<int>((deadline - now) / 1000000) + 1);
    if ((waiting.revents & POLLHUP) != 0) return;
  }
}

}  // namespace tether
