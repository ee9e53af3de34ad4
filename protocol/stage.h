// The named stages of a containerVM's life: every failure names the one it happened in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace protocol {

// Numbers are on the wire and in the journal: never reuse or renumber.
enum class Stage : uint16_t {
  kNone = 0,
  kEarlyMounts = 1,  // /proc, /sys, /dev
  kReadConfig = 2,   // no configuration, or it cannot be read
  kParseConfig = 3,  // not a ContainerVm message
  kCheckConfig = 4,  // a field with a value that cannot be honoured; object is the field's name
  kFindDisk = 5,     // object is the serial
  kMountImage = 6,
  kMountWritable = 7,
  kMountRoot = 8,        // the overlay
  kMountVolume = 9,      // object is the path
  kContainerFiles = 10,  // hosts, hostname, resolv.conf, /dev nodes
  kStartLink = 11,
  kNamespaces = 12,
  kCgroup = 13,
  kUser = 14,  // object is the user as asked for
  kWorkingDirectory = 15,
  kStdio = 16,
  kFindProgram = 17,  // not in PATH (127) or not executable (126)
  kExec = 18,         // execve itself (126, or 127 for ENOENT)
  kCapabilities = 19,
  kShutdown = 20,
  kInternal = 21,
  kFindInterface = 22,       // object is the MAC or PCI address
  kConfigureInterface = 23,  // object is the interface's name, and what of it
  kLease = 24,               // object is the interface's name
  kFirewall = 25,            // likewise
};

// A stage's name in words, e.g. "mount image"; "unknown stage" for a number this version does not
// know.
std::string_view stage_name(Stage stage);

// What to do about a failure at this stage of which no more is known; empty for kNone and for a
// number this version does not know.
std::string_view stage_hint(Stage stage);

// The one line about a failure for whoever reads it: stage, object, cause, and what to do. An
// object that ends with ')' has brought its own hint. Escaped.
std::string failure_text(Stage stage, int errno_value, std::string_view object);

// The exit status by Docker's convention for a failure at this stage: 127 (not found), 126 (cannot
// run), else 125.
int exit_code_for(Stage stage, int errno_value);

}  // namespace protocol
