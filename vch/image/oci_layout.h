// OCI image layouts (image-spec, image-layout.md): a directory with index.json and blobs/.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/image/loaded_image.h"

namespace vch {

// `tag` as in the annotation org.opencontainers.image.ref.name, whole or behind its last colon;
// empty: the only image, else the one tagged "latest". Nested indexes are followed to the manifest
// for linux/amd64. Index, manifest and configuration are checked against their digests here, the
// layers when they are read.
common::Result<LoadedImage> load_oci_layout(const std::string& directory, const std::string& tag);

}  // namespace vch
