// How a container's journal is to be read: with its secret, from the beginning or from its present
// life on.
#pragma once

#include "common/result.h"
#include "vch/journal/journal_stream.h"
#include "vch/machine/container_store.h"

namespace vch {

// From the oldest record there is.
common::Result<JournalStream::Options> whole_journal(const Container& container);
// From where the present or last life began; from the oldest record when there was none.
common::Result<JournalStream::Options> journal_of_life(const Container& container);

}  // namespace vch
