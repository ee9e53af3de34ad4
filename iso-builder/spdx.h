// The list of what a bootstrap image is made of: an SPDX 2.3 document.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "iso-builder/manifest.h"

namespace iso_builder {

// A library inside the agent.
struct Component {
  std::string name, version, license;  // SPDX's expression; "NOASSERTION" where it is not known
};

// Of the build: [{"name": "...", "version": "...", "license": "..."}, ...]; `name` stands in the
// error.
common::Result<std::vector<Component>> parse_components(std::string_view json,
                                                        const std::string& name);
// Those of a document that spdx_json() made; empty for any other.
std::vector<Component> components_of(std::string_view spdx);

// The same inputs give the same bytes. The namespace is made from the digests.
std::string spdx_json(const Manifest& manifest, const std::vector<Component>& components);

}  // namespace iso_builder
