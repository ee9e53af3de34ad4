// The first use of a volume: it gets what the image has at its path, as Docker does it.
#pragma once

#include <string>

#include "common/result.h"

namespace tether {

// If `volume`, a mounted directory, is empty, and `path` below `root` is a directory: copies its
// content with owners, modes, times, extended attributes and hard links, and its own owner and
// mode. An agent that dies meanwhile leaves a mark, by which the next one begins anew. Symbolic
// links on the way to `path` are followed within `root`. Blocking, in children of its own.
common::Status fill_volume(int root, const std::string& path, const std::string& volume);

}  // namespace tether
