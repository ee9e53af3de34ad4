// Boot is tables: rows of mounts, directories, links, devices and settings, in order, and one
// interpreter. Each row says which stage it belongs to and whether its failure ends the boot.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "protocol/stage.h"
#include "tether/boot/boot.h"
#include "tether/boot/boot_system.h"

namespace tether {

struct BootRow {
  enum class Action : uint8_t {
    kMount,      // source, target, type, flags, text: the options
    kDirectory,  // target, mode
    kLink,       // target, text
    kDevice,     // target, mode, major, minor
    kWrite,      // target, text
    kOwner,      // target gets the owner and mode of source
    kEnterRoot,  // target
    kLoopback
  };
  Action action{};
  bool fatal = true;
  std::string target;
  std::string source;
  std::string type;
  unsigned long flags = 0;
  std::string text;
  mode_t mode = 0755;
  unsigned major = 0;
  unsigned minor = 0;
  protocol::Stage stage = protocol::Stage::kEarlyMounts;
  std::string object;  // what a failure names; empty: the target
  std::string hint;    // what a failure says to do
};

// The rows that many tables share.
BootRow mount_row(std::string type, std::string target, unsigned long flags, std::string options,
                  bool fatal = true);
BootRow directory_row(std::string target, mode_t mode = 0755);
BootRow link_row(std::string text, std::string target);
BootRow write_row(std::string target, std::string text, bool fatal = false);

// Does the rows in order and stops at the first fatal failure. Failures that are not fatal are
// passed over: such a row is a nicety that some kernel may lack.
StageResult<void> run_rows(std::span<const BootRow> rows, BootSystem& system);

// What mount_early() does.
std::vector<BootRow> early_rows();

}  // namespace tether
