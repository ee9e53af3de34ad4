// The root file system that a containerVM starts with: the agent, and the few nodes it needs before
// it has mounted anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

// A "newc" cpio archive: /dev with console and null, /init (0755) = `agent`, /proc, /run, /sys, and
// /tools/busybox (0755) when there is one. Everything belongs to root and has the time `mtime`; the
// same inputs give the same bytes.
std::string make_initramfs(std::string_view agent, std::string_view busybox, uint32_t mtime);

// In the format that `lz4 -l` writes and the kernel unpacks. Chosen for a fifth of gzip's
// instructions a byte; the strongest level costs time here and none in the machine.
common::Result<std::string> compress_lz4_legacy(std::string_view raw);

struct InitramfsPrograms {
  std::string agent;
  std::string busybox;  // empty: there is none
};
// The programs in a plain or compressed cpio archive. `name` stands in the error.
common::Result<InitramfsPrograms> read_initramfs(std::string_view initramfs,
                                                 const std::string& name);

}  // namespace iso_builder
