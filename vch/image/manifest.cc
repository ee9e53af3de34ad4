#include "vch/image/manifest.h"

#include <algorithm>
#include <array>

#include "vch/image/image_error.h"
#include "vch/image/json_fields.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using common::Result;

constexpr std::array<std::string_view, 2> kIndexTypes = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
};
constexpr std::array<std::string_view, 2> kManifestTypes = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
};
constexpr std::array<std::string_view, 2> kConfigTypes = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
};
// What compresses a layer is told from its content.
constexpr std::array<std::string_view, 11> kLayerTypes = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& types, const std::string& type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

Result<Descriptor> parse_descriptor(const Json& json, const std::string& where) {
  if (!json.is_object()) return image_error(where, "want an object");
  Descriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, string_member(json, "mediaType", where));
  ASSIGN_OR_RETURN(descriptor.digest, string_member(json, "digest", where));
  ASSIGN_OR_RETURN(descriptor.size, number_member(json, "size", where));
  if (!is_sha256_digest(descriptor.digest)) {
    return image_error(member_name(where, "digest"),
                       "'" + descriptor.digest + "' is not sha256: and 64 hex digits");
  }
  if (descriptor.size > INT64_MAX) return image_error(member_name(where, "size"), "out of range");
  ASSIGN_OR_RETURN(const Json annotations, object_member(json, "annotations", where));
  ASSIGN_OR_RETURN(descriptor.name, string_member(annotations, "org.opencontainers.image.ref.name",
                                                  member_name(where, "annotations")));
  ASSIGN_OR_RETURN(const Json platform, object_member(json, "platform", where));
  ASSIGN_OR_RETURN(descriptor.os, string_member(platform, "os", member_name(where, "platform")));
  ASSIGN_OR_RETURN(descriptor.architecture,
                   string_member(platform, "architecture", member_name(where, "platform")));
  return descriptor;
}

Result<std::vector<Descriptor>> parse_descriptors(const Json& json, const char* key) {
  ASSIGN_OR_RETURN(const Json list, array_member(json, key));
  std::vector<Descriptor> descriptors;
  for (size_t i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(descriptors.emplace_back(),
                     parse_descriptor(list[i], std::string(key) + "[" + std::to_string(i) + "]"));
  }
  return descriptors;
}

Result<ImageManifest> read_manifest(const Json& json) {
  ImageManifest manifest;
  ASSIGN_OR_RETURN(const Json config, object_member(json, "config"));
  if (config.empty()) return image_error("config", "is missing");
  ASSIGN_OR_RETURN(manifest.config, parse_descriptor(config, "config"));
  if (!is_one_of(kConfigTypes, manifest.config.media_type)) {
    return image_error("config.mediaType",
                       "'" + manifest.config.media_type + "' is not of a container image");
  }
  ASSIGN_OR_RETURN(manifest.layers, parse_descriptors(json, "layers"));
  if (manifest.layers.size() > kMaxLayers) {
    return image_error("layers", "are more than " + std::to_string(kMaxLayers));
  }
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    if (is_one_of(kLayerTypes, manifest.layers[i].media_type)) continue;
    return image_error("layers[" + std::to_string(i) + "].mediaType",
                       "'" + manifest.layers[i].media_type + "' is not of an image layer");
  }
  return manifest;
}

}  // namespace

bool is_index(const Descriptor& descriptor) {
  return is_one_of(kIndexTypes, descriptor.media_type);
}

bool is_manifest(const Descriptor& descriptor) {
  return is_one_of(kManifestTypes, descriptor.media_type);
}

bool fits_platform(const Descriptor& descriptor) {
  return (descriptor.os.empty() || descriptor.os == "linux") &&
         (descriptor.architecture.empty() || descriptor.architecture == "amd64");
}

Result<std::vector<Descriptor>> parse_index(std::string_view text, const std::string& what) {
  ASSIGN_OR_RETURN(const Json json, parse_json_object(text, what));
  auto manifests = parse_descriptors(json, "manifests");
  if (manifests.has_error()) return within(what, manifests.error());
  return manifests;
}

Result<ImageManifest> parse_manifest(std::string_view text, const std::string& what) {
  ASSIGN_OR_RETURN(const Json json, parse_json_object(text, what));
  auto manifest = read_manifest(json);
  if (manifest.has_error()) return within(what, manifest.error());
  return manifest;
}

}  // namespace vch
