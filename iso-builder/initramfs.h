// The root file system that a containerVM starts with: the agent, and the few nodes it needs before
// it has mounted anything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/result.h"

namespace iso_builder {

struct InitramfsContents {
  std::string agent;
  std::string busybox;                            // empty: there is none
  std::map<std::string, std::string> files = {};  // what else there is, by path
};

// A "newc" cpio archive: /dev with console and null, /init (0755) = the agent, /proc, /run, /sys,
// the busybox when there is one, and the further files with the folders above them; hooks are 0755,
// others 0644. The busybox is /tools/busybox (0755) where there are hooks, whose interpreter it is,
// else /tools/busybox.lz4: a start that does not need it would unpack it for nothing. Everything
// belongs to root and has the time `mtime`; the same inputs give the same bytes.
common::Result<std::string> make_initramfs(const InitramfsContents& contents, uint32_t mtime);

// In the format that `lz4 -l` writes and the kernel unpacks. Chosen for a fifth of gzip's
// instructions a byte; the strongest level costs time here and none in the machine. What was said
// before and is shorter than `least_match` bytes is said again: larger, and quicker to unpack.
constexpr size_t kLeastLz4Match = 4;
common::Result<std::string> compress_lz4_legacy(std::string_view raw,
                                                size_t least_match = kLeastLz4Match);
// The reverse; `name` stands in the error.
common::Result<std::string> unpack_lz4_legacy(std::string_view packed, const std::string& name);

// What is in a plain or compressed cpio archive. `name` stands in the error.
common::Result<InitramfsContents> read_initramfs(std::string_view initramfs,
                                                 const std::string& name);

}  // namespace iso_builder
