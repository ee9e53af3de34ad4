// What an image builder changes in a boot image: given as paths and words, checked here.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "iso-builder/boot_image.h"

namespace iso_builder {

struct Changes {
  std::string agent;                     // replaces it; empty: as it is
  std::string busybox;                   // likewise
  std::string command_line;              // likewise
  std::vector<std::string> arguments;    // are appended to the command line
  std::vector<std::string> authorities;  // PEM files of certificate authorities; added
  std::string config;                    // where the hypervisor gives none: a ContainerVm, as bytes
  std::vector<std::string> hooks;        // "STAGE=FILE"; added
  std::string debug_shell;               // a stage at which the serial console gets a shell
  std::string firmware;                  // a folder for /lib/firmware; added
  std::vector<std::string> without;      // paths in the initramfs, as `inspect` shows them
};

// Changes nothing when it fails. An error names the file or the word.
common::Status apply_changes(const Changes& changes, BootImage& image);

}  // namespace iso_builder
