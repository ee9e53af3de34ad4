// Registries, by the program skopeo.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/image/progress.h"

namespace vch {

// Copies an image to an OCI layout at `directory`/layout, tagged "image". `registry_name` is a
// whole one ("docker.io/library/busybox:latest"). The user's own registry configuration and logins
// apply; a registry on this host may do without TLS. The error says how to import without a
// network.
common::Status skopeo_pull(const std::string& registry_name, const std::string& directory,
                           const Progress& progress);

}  // namespace vch
