// Image indexes and manifests: OCI's (image-spec, image-index.md, manifest.md) and Docker's schema
// 2, which differ in media types alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

constexpr size_t kMaxDocument = size_t{4} << 20U;  // bytes of an index, manifest or configuration
constexpr size_t kMaxLayers = 512;                 // Docker makes at most 127

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:HEX", checked
  uint64_t size = 0;
  std::string name;          // annotation org.opencontainers.image.ref.name
  std::string os;            // empty: not said
  std::string architecture;  // empty: not said
};

bool is_index(const Descriptor& descriptor);
bool is_manifest(const Descriptor& descriptor);
// Not for another machine than linux/amd64, as far as it says.
bool fits_platform(const Descriptor& descriptor);

struct ImageManifest {
  Descriptor config;
  std::vector<Descriptor> layers;
};

// `what` names the document in errors. An index may hold descriptors of unknown types; a manifest
// must be of a container image.
common::Result<std::vector<Descriptor>> parse_index(std::string_view text, const std::string& what);
common::Result<ImageManifest> parse_manifest(std::string_view text, const std::string& what);

}  // namespace vch
