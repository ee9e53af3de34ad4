// The records of a container's journal, over all its files, as far as they were written, and on
// from there as more is. Memory is bounded; what is torn or damaged costs itself alone.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/journal.h"
#include "vch/journal/journal_files.h"

namespace vch {

struct JournalEntry {
  protocol::JournalRecord record;  // its payload is valid until the next call
  uint64_t missing = 0;            // records that should stand between the one before and this
};

class JournalStream {
 public:
  struct Options {
    uint32_t secret = 0;
    JournalPosition from{};    // a place where a record begins, or gone: then the oldest there is
    bool skip_output = false;  // kOutput records are passed over, unread and unchecked
  };
  // A journal that does not exist (yet) is empty. What exists now is held open: it can be read to
  // its end though it be removed meanwhile.
  static common::Result<JournalStream> open(const std::string& directory, const Options& options);

  // The next record; nothing when there is none now. Call again when more may have been written.
  common::Result<std::optional<JournalEntry>> next();
  // Whoever wrote has ended: an incomplete record is torn, and what may stand behind it is read.
  // Call it before the last next().
  void close() { closed_ = true; }
  // The bytes read for records so far: for those who must not read too much at once.
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct File {
    uint64_t number = 0;
    common::UniqueFd fd;
  };
  explicit JournalStream(std::string directory, const Options& options);
  common::Result<bool> fill();
  common::Result<size_t> read_file(char* out, size_t size);
  common::Result<bool> find_next_file();
  std::string path(uint64_t number) const { return directory_ + "/" + journal_file_name(number); }
  bool skip_output_record();
  JournalEntry judge(const protocol::JournalRecord& record);

  std::string directory_;
  Options options_;
  std::deque<File> files_;  // the first is being read
  uint64_t offset_ = 0;     // in it, of the next byte to read
  std::string window_;
  size_t start_ = 0;      // of what is not taken yet
  uint64_t to_skip_ = 0;  // bytes of a record that is passed over
  uint64_t bytes_read_ = 0;
  bool in_step_ = true;
  bool closed_ = false;
  std::optional<uint64_t> last_number_;
  uint64_t passed_missing_ = 0;  // before records that were passed over
};

}  // namespace vch
