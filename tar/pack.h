// A file or a tree becomes a tar stream: pax (POSIX.1-2001), so that names, times, sparse files and
// extended attributes come as they are. By libarchive.
#pragma once

#include <string>

#include "tar/report.h"

namespace tar {

struct PackOptions {
  std::string path;  // a symbolic link is packed as one
  std::string name;  // what the first member is called; "." for the contents of a directory
  Report report;
};

// Blocks until all is written to `fd`. True: nothing was left out; else `report` has said what.
// Sockets and file systems that are no files (proc, sysfs, cgroup2) are left out in silence. A file
// that grows meanwhile is cut, one that shrinks filled up with zeros.
bool pack(const PackOptions& options, int fd);

}  // namespace tar
