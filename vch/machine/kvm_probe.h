// Does KVM work here? The one who is asked: the host, or a test's fake.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/machine/state_dir.h"

namespace vch {

class KvmProbe {
 public:
  virtual ~KvmProbe() = default;
  // What the answer to run() holds for: this boot of the host, this QEMU.
  virtual common::Result<std::string> stamp() = 0;
  // Whether /dev/kvm may be used at all; takes no time.
  virtual common::Status device() = 0;
  // Runs the probe guest under KVM: success when it reported in time. At most about 3.5 s.
  virtual common::Status run() = 0;
};

// The host's: a guest that switches to long mode, uses SSE and counts for 64 million rounds. Under
// KVM that takes a blink. Where KVM is there but each instruction is emulated (nested without
// hardware's help) it does not end, though firmware and a boot sector that only reports do.
class HostKvmProbe : public KvmProbe {
 public:
  explicit HostKvmProbe(const StateDir& state, std::string root = "")
      : directory_(state.host()), root_(std::move(root)) {}
  common::Result<std::string> stamp() override;
  common::Status device() override;
  common::Status run() override;

  // The guest alone, under either accelerator: `accelerator` is QEMU's -accel and -cpu.
  common::Status run_guest(const std::string& accelerator, const std::string& cpu);

 private:
  std::string directory_;
  std::string root_;  // in front of /dev and /proc, for tests
};

}  // namespace vch
