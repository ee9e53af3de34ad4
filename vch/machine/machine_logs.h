// Where a running machine's QEMU writes: it is told to go on in another file, without losing or
// repeating a byte between the two.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/journal/journal_files.h"
#include "vch/machine/container_store.h"

namespace vch {

// While there is this file in the container's directory its journal stays in one file: the QEMU
// that the machine migrates to (vch/migration) has that one open, and cannot be told of another
// while its machine stands still.
inline constexpr const char* kMigrationRecord = "migration.json";

// The journal goes on in the file behind `newest`. Blocks for QEMU's answer, a second at most.
// EBUSY while it migrates.
common::Status rotate_journal(const Container& container, uint64_t newest);
// There is no room for the journal, and QEMU would try to write again and again: what it has to
// write goes to a FIFO, "journal.full", whose read end is given and must be kept, and never read,
// so that QEMU waits without working once that is full. rotate_journal() ends this; the FIFO's 64
// KiB are lost.
common::Result<common::UniqueFd> suspend_journal(const Container& container);
// Of one that a shim before us began: its read end; none when there is no such FIFO.
common::UniqueFd find_suspension(const Container& container);
void remove_suspension(const Container& container);
// console.log becomes console.log.1 and begins anew.
common::Status rotate_console(const Container& container);

}  // namespace vch
