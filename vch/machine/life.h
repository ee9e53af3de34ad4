// life.json in a container's directory: about its present or last machine, written as that starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

struct Life {
  uint64_t journal_offset = 0;  // where this life's records begin in the journal
  std::string accelerator;      // "kvm" or "tcg": what was chosen
};

common::Status write_life(const Container& container, const Life& life);
// Nothing when no machine was ever started. EBADMSG when the file is damaged.
common::Result<std::optional<Life>> read_life(const Container& container);

}  // namespace vch
