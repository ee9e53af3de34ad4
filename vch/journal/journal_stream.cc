#include "vch/journal/journal_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/io.h"
#include "protocol/bytes.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using protocol::EventKind;
using protocol::JournalRecord;

// More than any record, so that a full window always holds a whole one or bytes to skip.
constexpr size_t kWindow = 256U << 10U;
static_assert(kWindow > 2 * (protocol::kJournalHeaderSize + protocol::kJournalMaxPayload));

}  // namespace

JournalStream::JournalStream(std::string directory, const Options& options)
    : directory_(std::move(directory)), options_(options), offset_(options.from.offset) {}

Result<JournalStream> JournalStream::open(const std::string& directory, const Options& options) {
  JournalStream stream(directory, options);
  ASSIGN_OR_RETURN(const auto numbers, list_journal_files(directory));
  for (const uint64_t number : numbers) {
    if (number < options.from.file) continue;
    auto fd = common::open_file(stream.path(number), O_RDONLY);
    if (fd.has_value()) {
      stream.files_.push_back({number, std::move(*fd)});
    } else if (fd.error().code != std::errc::no_such_file_or_directory) {
      return fd.error();
    }
  }
  const bool gone = !stream.files_.empty() && stream.files_.front().number != options.from.file;
  if (gone) {
    stream.offset_ = 0;
    stream.in_step_ = false;  // It may begin in the middle of a record.
  }
  return stream;
}

// Removed files may be more than one; the next is the oldest that is newer.
Result<bool> JournalStream::find_next_file() {
  const uint64_t after = files_.empty() ? options_.from.file : files_.front().number + 1;
  ASSIGN_OR_RETURN(const auto numbers, list_journal_files(directory_));
  for (const uint64_t number : numbers) {
    if (number < after) continue;
    auto fd = common::open_file(path(number), O_RDONLY);
    if (fd.has_value()) {
      files_.push_back({number, std::move(*fd)});
      return true;
    }
    if (fd.error().code != std::errc::no_such_file_or_directory) return fd.error();
  }
  return false;
}

Result<size_t> JournalStream::read_file(char* out, size_t size) {
  const int fd = files_.front().fd.get();
  if (to_skip_ > 0) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
      return common::errno_error("look at journal", path(files_.front().number));
    }
    const uint64_t end = std::max(offset_, static_cast<uint64_t>(status.st_size));
    const uint64_t count = std::min(to_skip_, end - offset_);
    offset_ += count;
    to_skip_ -= count;
    if (to_skip_ > 0) return size_t{0};
  }
  ssize_t n = 0;
  do {
    n = ::pread(fd, out, size, static_cast<off_t>(offset_));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return common::errno_error("read journal", path(files_.front().number));
  offset_ += static_cast<uint64_t>(n);
  bytes_read_ += static_cast<uint64_t>(n);
  return static_cast<size_t>(n);
}

// Reads on into the window. False when there is nothing more now.
Result<bool> JournalStream::fill() {
  window_.erase(0, start_);
  start_ = 0;
  if (files_.empty()) {
    ASSIGN_OR_RETURN(const bool found, find_next_file());
    if (!found) return false;
  }
  const size_t kept = window_.size();
  window_.resize(kWindow);
  for (;;) {
    ASSIGN_OR_RETURN(size_t n, read_file(window_.data() + kept, kWindow - kept));
    if (n == 0) {
      bool more = files_.size() > 1;
      if (!more) {
        ASSIGN_OR_RETURN(more, find_next_file());
      }
      if (more) {
        // Nothing is written to a file once its successor is there; what was before may be unread.
        ASSIGN_OR_RETURN(n, read_file(window_.data() + kept, kWindow - kept));
        if (n == 0) {
          files_.pop_front();
          offset_ = 0;
          continue;
        }
      }
    }
    window_.resize(kept + n);
    return n > 0;
  }
}

// A whole record that is passed over needs no more of it than its header.
bool JournalStream::skip_output_record() {
  if (!options_.skip_output || !in_step_) return false;
  const std::string_view rest = std::string_view(window_).substr(start_);
  if (rest.size() < protocol::kJournalHeaderSize) return false;
  protocol::FieldReader in(rest);
  const auto magic = in.get<uint32_t>();
  const auto length = in.get<uint32_t>();
  const auto number = in.get<uint64_t>();
  in.get<uint64_t>();
  in.get<uint64_t>();
  const auto kind = static_cast<EventKind>(in.get<uint16_t>());
  const bool output = magic == protocol::kJournalMagic && kind == EventKind::kOutput &&
                      length <= protocol::kJournalMaxPayload;
  if (!output) return false;
  if (last_number_ && number > *last_number_) passed_missing_ += number - *last_number_ - 1;
  last_number_ = number;
  const uint64_t size =
      protocol::kJournalHeaderSize + uint64_t{length} + protocol::kJournalCheckSize;
  const uint64_t here = std::min<uint64_t>(size, rest.size());
  start_ += here;
  to_skip_ = size - here;
  return true;
}

JournalEntry JournalStream::judge(const JournalRecord& record) {
  JournalEntry entry{record, 0};
  const bool new_life =
      record.kind == EventKind::kBoot || (last_number_ && record.number <= *last_number_);
  if (new_life) {
    entry.missing = record.number == 0 ? 0 : record.number - 1;
  } else if (last_number_) {
    entry.missing = record.number - *last_number_ - 1;
  }
  entry.missing += std::exchange(passed_missing_, 0);
  last_number_ = record.number;
  return entry;
}

Result<std::optional<JournalEntry>> JournalStream::next() {
  for (bool full = true;;) {
    while (to_skip_ == 0 && skip_output_record()) {
    }
    if (to_skip_ == 0) {
      protocol::JournalReader reader(std::string_view(window_).substr(start_), options_.secret,
                                     in_step_);
      const auto record = reader.next(closed_ && !full);
      start_ += reader.position();
      in_step_ = reader.in_step();
      if (record) return std::optional<JournalEntry>(judge(*record));
    }
    if (!full) return std::optional<JournalEntry>();
    ASSIGN_OR_RETURN(full, fill());
  }
}

}  // namespace vch
