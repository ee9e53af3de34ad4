// What this host can do for containerVMs, what is missing, and what to do about it.
#pragma once

#include <string>
#include <vector>

#include "vch/machine/state_dir.h"

namespace vch {

struct Finding {
  enum class Level { kGood, kWarning, kBad };  // kBad: containerVMs cannot run
  Level level = Level::kGood;
  std::string subject;  // "accelerator", "vsock links", "programs", "disk space", ...
  std::string text;     // what was found
  std::string advice;   // what to do; empty when nothing
};

// Accelerator (runs the probe), vsock links, programs and their versions, bootstrap ISO, disk
// space, permissions of the state directory and of /dev/kvm.
std::vector<Finding> examine_host(const StateDir& state, const std::string& iso);

class KvmProbe;
// The same of a host whose /dev is under `root`, asking `probe` about KVM.
std::vector<Finding> examine_host(const StateDir& state, const std::string& iso,
                                  const std::string& root, KvmProbe& probe);

}  // namespace vch
