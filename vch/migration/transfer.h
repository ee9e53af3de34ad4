// How a source's QEMU sends its machine.
#pragma once

#include <chrono>

#include "common/result.h"
#include "vch/machine/qmp.h"

namespace vch {

inline constexpr char kMigrationSocket[] = "migration";  // the name of what the QEMUs are given

// Begins it, into the socket given by that name; the machine stands still behind it for a moment
// that is told, and runs when this returns. It stops again by itself, in state `pre-switchover`.
//
// Under TCG (QEMU 7.2, and later ones) a write of the guest's may be lost while QEMU looks for what
// was written: a virtual CPU marks a page as dirty, QEMU takes the mark away and tells the CPU to
// mark it again, and the CPU, which was interrupted in between, lets itself write without
// (accel/tcg/ cputlb.c, notdirty_write() and tlb_reset_dirty()). Once in some dozen moves on a host
// that has much else to do the guest's memory is damaged. So QEMU looks twice only, each time while
// the CPUs stand still: when it begins, and at the end for all that was written since.
common::Result<std::chrono::milliseconds> begin_transfer(Qmp& source, bool tcg);

}  // namespace vch
