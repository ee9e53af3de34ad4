// Files between this host and a running container.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

struct CopyOptions {
  bool keep_owner = false;   // uid and gid as they are; else the container's root, or the caller
  bool follow_link = false;  // a symbolic link as the source stands for what it leads to
};

// `from` a path in the container, `to` one of this host, "-" for a tar stream on stdout. Blocks.
// What was left out has been said on stderr, a line each, and is an error. The bytes come from the
// guest: nothing lands but under the name that was asked for, without set-user-ID bits, devices or
// extended attributes.
common::Status copy_out(const Container& container, const std::string& program,
                        const std::string& from, const std::string& to, const CopyOptions& options);
// The other way: `from` of this host, "-" for a tar stream on stdin, then `to` is a directory.
common::Status copy_in(const Container& container, const std::string& program,
                       const std::string& from, const std::string& to, const CopyOptions& options);

}  // namespace vch
