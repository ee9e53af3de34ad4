// The end of the machine.
#pragma once

#include "tether/supervisor/journal_writer.h"

namespace tether {

// Ends what is left of the container, unmounts, says so in the journal, and powers off. Bounded.
[[noreturn]] void power_off(JournalWriter& journal);

// Powers off without another word: writes back what the file systems still hold, as far as that is
// done in some seconds. Async-signal-safe.
[[noreturn]] void power_off_at_once();

}  // namespace tether
