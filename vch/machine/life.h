// life.json in a container's directory: about its present or last machine, written as that starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "vch/journal/journal_files.h"
#include "vch/machine/container_store.h"
#include "vch/network/network.h"

namespace vch {

struct Life {
  JournalPosition journal;           // where this life's records begin
  std::string accelerator;           // "kvm" or "tcg": what was chosen
  uint32_t vsock_cid = 0;            // of link "vsock": the kernel's address for it, 0: vsock.sock
  std::vector<PublishedPort> ports;  // with their numbers on the host
  uint64_t qemu_log = 0;             // where this life's lines begin in qemu.log
  uint32_t crashes = 0;              // in a row, before this life: crash.h
  bool killed = false;               // from the host
  bool again = false;                // it crashed, and whoever starts it next does so therefore
};

common::Status write_life(const Container& container, const Life& life);
// Nothing when no machine was ever started. EBADMSG when the file is damaged.
common::Result<std::optional<Life>> read_life(const Container& container);

}  // namespace vch
