// The commands of tether-iso, once their words are parsed. Each gives the exit code, and says on
// stderr, on one line, why it failed.
#pragma once

#include <string>
#include <vector>

#include "iso-builder/changes.h"
#include "iso-builder/iso_image.h"

namespace iso_builder {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDifferent = 3;

struct Options {
  IsoInputs inputs;
  Changes changes;
  std::string iso;
  std::string output;
  std::string format = "iso";    // or "disk", "uki"
  std::string report = "table";  // or "json"
  bool json = false;
  Expected expected;
  std::string expected_command_line;
  std::vector<std::string> parts;
  std::string folder;
};

int run_build(Options& options);
int run_customise(const Options& options);
int run_inspect(const Options& options);
int run_verify(const Options& options);
int run_extract(const Options& options);

}  // namespace iso_builder
