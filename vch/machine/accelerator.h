// KVM or TCG.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/machine/state_dir.h"

namespace vch {

struct AcceleratorChoice {
  bool kvm = false;
  std::string note;  // one line for the user when auto fell back to TCG; else empty
};

// `wanted` is "auto", "kvm" or "tcg"; anything else is EINVAL. `auto` takes KVM only after a probe
// guest (a boot sector that works a little and reports by a debug-exit device: kvm_probe.h) has
// reported within 3 s under it; what came out is remembered per host boot
// (/proc/sys/kernel/random/boot_id) in state.host(), and the note is given when it is news. "kvm"
// that does not work is an error that says why. Blocks for the probe, at most about 4 s.
common::Result<AcceleratorChoice> choose_accelerator(const std::string& wanted,
                                                     const StateDir& state);

class KvmProbe;
// The same, asking another than the host.
common::Result<AcceleratorChoice> choose_accelerator(const std::string& wanted,
                                                     const StateDir& state, KvmProbe& probe);

}  // namespace vch
