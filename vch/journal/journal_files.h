// The files of one container's journal. They lie in its directory: "journal", then "journal.1",
// "journal.2" and so on, each going on where the one before it ends, and QEMU appends to the last.
// Together they are one stream of bytes: a record may begin in one file and end in the next. The
// oldest are removed to keep the whole within its bounds.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

struct JournalPosition {
  uint64_t file = 0;    // its number; "journal" is 0
  uint64_t offset = 0;  // in that file
  auto operator<=>(const JournalPosition&) const = default;
};

std::string journal_file_name(uint64_t number);
// Nothing for a name that is no journal file's.
std::optional<uint64_t> journal_file_number(std::string_view name);

// The numbers of those there are, the oldest first.
common::Result<std::vector<uint64_t>> list_journal_files(const std::string& directory);
// Where the next byte will go: the end of the newest file; {0, 0} when there is none.
common::Result<JournalPosition> journal_end(const std::string& directory);
// Removes the oldest until `keep` (at least 1) are left.
common::Status prune_journal_files(const std::string& directory, uint64_t keep);

// Cuts off what a machine that died left of its last record. Only while no machine lives: it makes
// the journal's end a place where a record may begin. `secret`: protocol/journal.h.
common::Status cut_torn_tail(const std::string& directory, uint32_t secret);

}  // namespace vch
