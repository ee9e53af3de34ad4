// A tar stream becomes files below a directory, and nowhere else, whoever wrote it. By libarchive.
#pragma once

#include <string>

#include "tar/report.h"

namespace tar {

struct UnpackOptions {
  std::string directory;  // exists; becomes the working directory
  std::string only;       // the one member at the top that may come, with all below it; empty: any
  bool trusted = false;   // extended attributes, set-user-ID and set-group-ID are kept
  bool keep_owner = false;  // uid and gid of the members; else the caller's
  bool devices = false;     // device nodes as well
  Report report;
};

// Blocks until the stream's end. True: everything was unpacked; else `report` has said what was
// not. Refused by name: members that would lie elsewhere (absolute names, "..", through a symbolic
// link), device nodes unless
// asked for, names other than `only`. Existing files are replaced, directories kept.
bool unpack(const UnpackOptions& options, int fd);

}  // namespace tar
