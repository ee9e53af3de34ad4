// journal.past in a container's directory: what journal files that were removed had told about the
// present life, so that its state is known however long it prints. A few records of the journal's
// own format, the newest of each kind that matters, oldest first; written before files are removed.
#pragma once

#include <functional>

#include "common/result.h"
#include "protocol/journal.h"
#include "vch/machine/container_store.h"

namespace vch {

// Every record but output of the present or last life, in order; those of removed files as far as
// they were kept. Returns as soon as there is no more now. `writer_lives`: more may come, so that a
// record which is incomplete is not torn.
common::Status hear_life(const Container& container, bool writer_lives,
                         const std::function<void(const protocol::JournalRecord&)>& hear);

// Removes the oldest journal files until `keep` are left, and keeps what they told.
common::Status prune_journal(const Container& container, uint64_t keep);
// A new life begins.
common::Status forget_past(const Container& container);

}  // namespace vch
