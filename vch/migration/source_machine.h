// What a machine that runs is made of, as its QEMU says.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/result.h"
#include "vch/machine/container_store.h"
#include "vch/machine/qmp.h"

namespace vch {

struct SourceMachine {
  std::vector<std::string> command;      // its command line
  std::string type;                      // "pc-q35-7.2"
  std::set<std::string> devices;         // the ids of all it has
  std::vector<std::string> plugged;      // options for CPUs and disks that came while it ran
  std::vector<NetworkAttachment> cards;  // network cards that did
};

// EOPNOTSUPP names what cannot be moved: a device that nobody of the container's description knows.
common::Result<SourceMachine> describe_machine(const Container& container);

// "running", "paused", "inmigrate", "postmigrate" and so on.
common::Result<std::string> run_state(Qmp& qmp);

struct MigrationProgress {
  std::string status;  // "none", "setup", "active", "device", "completed", "failed", "cancelled"...
  std::string error;   // of "failed"
  uint64_t transferred = 0, remaining = 0;  // bytes of memory
  uint64_t total_ms = 0, downtime_ms = 0;   // of "completed": from the beginning, and its last part
};
common::Result<MigrationProgress> migration_progress(Qmp& qmp);

}  // namespace vch
