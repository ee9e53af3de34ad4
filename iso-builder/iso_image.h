// A bootstrap ISO: made from a kernel and an agent, and read back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "iso-builder/command_line.h"
#include "iso-builder/manifest.h"

namespace iso_builder {

struct IsoInputs {
  std::string kernel;   // a bzImage
  std::string agent;    // a static x86-64 program
  std::string busybox;  // likewise: what `vch debug` brings into a container; empty: none
  std::string command_line = std::string(kDefaultCommandLine);
  // Stands wherever a time is: 1970 unless $SOURCE_DATE_EPOCH says otherwise.
  uint32_t time = 0;
  // Debian's packages isolinux and syslinux-common.
  std::string loader = "/usr/lib/ISOLINUX/isolinux.bin";
  std::string loader_module = "/usr/lib/syslinux/modules/bios/ldlinux.c32";
};

// Writes an ISO that boots by BIOS without asking anything. The same inputs give the same bytes,
// whoever builds them where and when. `output` is replaced as a whole or left alone. Blocks for
// about a second; runs xorriso.
common::Status build_iso(const IsoInputs& inputs, const std::string& output);

struct IsoContents {
  Manifest recorded;  // what the ISO says it holds
  Manifest found;     // what it does hold
  uint64_t size = 0;
  std::string sha256;  // of the whole file
};

// Refuses what is no ISO of ours, and one that is cut short.
common::Result<IsoContents> read_iso(const std::string& path);

// What a caller expects in an ISO; an empty path is not compared.
struct Expected {
  std::string kernel;
  std::string agent;
  const std::string* command_line = nullptr;
};

// One line for each way in which the ISO differs from its own manifest or from what is expected.
common::Result<std::vector<std::string>> verify_iso(const IsoContents& iso,
                                                    const Expected& expected);

// $SOURCE_DATE_EPOCH as a number, 0 without it.
common::Result<uint32_t> source_date_epoch();

}  // namespace iso_builder
