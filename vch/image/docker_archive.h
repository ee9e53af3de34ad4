// Archives as `docker save` and skopeo write them: a tar of manifest.json, configurations and
// layers.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/image/loaded_image.h"

namespace vch {

// `name` chooses by RepoTags ("busybox:1.36"; ":latest" is added); empty: the only image. When the
// archive is compressed as a whole it is first decompressed into an unnamed file in `scratch`,
// since layers lie in it in any order.
common::Result<LoadedImage> load_docker_archive(const std::string& path, const std::string& name,
                                                const std::string& scratch);

}  // namespace vch
