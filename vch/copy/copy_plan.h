// Where a copy ends up: Docker's rules for `cp`, as a function of what is there.
#pragma once

#include <string>

#include "common/result.h"

namespace vch {

enum class FileKind { kMissing, kDirectory, kOther };

// What is packed as `name` and unpacked in `directory`. `name` is "." when the contents of a
// directory go into one that exists.
struct CopyPlan {
  std::string name;
  std::string directory;
};

// SRC exists and is a directory or not; DEST is what is there under that path. A path that ends in
// "/" must be a directory; "/." at the end of a source directory means its contents.
//   file -> missing: the file DEST    file -> file: replaces it    file -> directory: into it
//   directory -> missing: becomes DEST    -> file: refused    -> directory: into it
common::Result<CopyPlan> plan_copy(const std::string& source, bool source_is_directory,
                                   const std::string& destination, FileKind destination_kind);

// One argument of `vch cp`: CONTAINER:PATH, a path of this host, or "-". A path with a colon is
// written "./with:colon" or "/with:colon", as Docker wants it.
struct CopyArgument {
  std::string container;  // empty: this host
  std::string path;
  bool is_stream() const { return container.empty() && path == "-"; }
};
CopyArgument parse_copy_argument(const std::string& text);

}  // namespace vch
