// Layers become one squashfs disk.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "vch/image/layer_stream.h"
#include "vch/image/progress.h"

namespace vch {

// Reads the layers twice: first everything, checked against its digests, to learn what the image's
// file system is (FileTree); then the contents that are part of it, into the disk. Nothing but the
// disk is written, nothing is written before every digest has been checked, and memory holds names
// and attributes, never contents. Progress counts stored bytes.
//
// Creates `path`, which must not exist; after a failure a part of it may be there.
common::Status build_disk(const std::vector<Layer>& layers, const std::string& path,
                          const Progress& progress);

}  // namespace vch
