// What `tether-iso inspect` prints.
#pragma once

#include <string>

#include "iso-builder/iso_image.h"

namespace iso_builder {

// Aligned columns for people; control characters escaped.
std::string report_table(const std::string& path, const IsoContents& iso);
// The manifest's fields as found, with `iso` {path, size, sha256} and `matches_manifest` beside
// them.
std::string report_json(const std::string& path, const IsoContents& iso);

}  // namespace iso_builder
