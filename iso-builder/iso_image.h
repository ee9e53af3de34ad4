// Deliveries as files: written, read back, checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "iso-builder/boot_image.h"
#include "iso-builder/manifest.h"

namespace iso_builder {

// Writes `bytes` to standard output for "-"; any other file is replaced as a whole or left alone.
common::Status write_output(std::string_view bytes, const std::string& output);

// Writes an ISO that boots by BIOS, and by UEFI where kernel and stub can, without asking anything.
// The same inputs give the same bytes, whoever builds them where and when. Blocks for about a
// second.
common::Status build_iso(const IsoInputs& inputs, const std::string& output);

struct IsoContents {
  Manifest recorded;  // what the ISO says it holds
  Manifest found;     // what it does hold
  uint64_t size = 0;
  std::string sha256;  // of the whole file
  BootImage image;
  MadeParts parts;
  std::string bytes;
};

// An ISO or a disk; "-" is standard input. Refuses what is none of ours, and one that is cut short.
common::Result<IsoContents> read_iso(const std::string& path);

// What a caller expects in an ISO; an empty path is not compared.
struct Expected {
  std::string kernel;
  std::string agent;
  const std::string* command_line = nullptr;
};

// One line for each way in which the ISO differs from its own manifest or from what is expected;
// when there is none, and this version built it, one if any other byte is not what the parts make.
common::Result<std::vector<std::string>> verify_iso(const IsoContents& iso,
                                                    const Expected& expected);

}  // namespace iso_builder
