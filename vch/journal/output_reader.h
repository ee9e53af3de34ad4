// One output stream of a container's present life, by offset, out of its journal: for clients that
// want what the agent no longer holds.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/result.h"
#include "vch/journal/journal_stream.h"

namespace vch {

class JournalOutputReader {
 public:
  // `options.from`: where the life begins. `stream`: 1 or 2.
  static common::Result<JournalOutputReader> open(const std::string& directory,
                                                  const JournalStream::Options& options,
                                                  uint32_t stream);

  struct Piece {
    enum class What : uint8_t {
      kBytes,     // from the offset asked for
      kMissing,   // the journal has nothing before `offset`, which is beyond what was asked for
      kContinue,  // nothing found yet, but there is more to look at: ask again
      kNothing,   // not (yet) in the journal
    };
    What what = What::kNothing;
    std::string_view bytes;  // valid until the next call
    uint64_t offset = 0;
  };
  // Looks for the bytes from `offset` on; offsets never go back from call to call. Reads a bounded
  // piece of the journal.
  common::Result<Piece> read(uint64_t offset);
  // The machine has ended: what is not there now never will be.
  void close() { records_.close(); }
  // No record of this life was there so far: whoever keeps a journal begins it with one.
  bool empty() const { return first_; }
  // Records of this life that were lost before the last one read.
  uint64_t missing_records() const { return missing_; }

 private:
  JournalOutputReader(JournalStream records, uint32_t stream)
      : records_(std::move(records)), stream_(stream) {}
  JournalStream records_;
  uint32_t stream_;
  protocol::JournalOutput held_;  // its bytes are the last record's
  uint64_t missing_ = 0;
  bool first_ = true;  // of this life's records
  bool over_ = false;  // another life has begun
};

}  // namespace vch
