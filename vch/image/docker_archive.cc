#include "vch/image/docker_archive.h"

#include <algorithm>

#include "vch/image/image_error.h"
#include "vch/image/json_fields.h"
#include "vch/image/manifest.h"
#include "vch/image/reference.h"
#include "vch/image/sha256.h"
#include "vch/image/tar_index.h"

namespace vch {
namespace {

using common::Result;

struct Entry {
  std::string config;
  std::vector<std::string> tags;
  std::vector<std::string> layers;
};

// A member that must be there; `what` is its part in the image.
template <typename T>
Result<T> require(Result<T> found, const std::string& what) {
  if (!found.has_error()) return found;
  if (found.error().code.value() == ENOENT) return image_error(what, "is missing from the archive");
  return within(what, found.error());
}

Result<std::vector<Entry>> read_entries(const TarIndex& archive) {
  auto text = archive.read("manifest.json", kMaxDocument);
  if (text.has_error() && text.error().code.value() == ENOENT) {
    return image_error("the archive", "has no manifest.json: not written by docker save");
  }
  if (text.has_error()) return text.error();
  ASSIGN_OR_RETURN(const Json list, parse_json(*text, "manifest.json"));
  if (!list.is_array()) return image_error("manifest.json", "want a list");
  std::vector<Entry> entries;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = "manifest.json[" + std::to_string(i) + "]";
    if (!list[i].is_object()) return image_error(where, "want an object");
    Entry& entry = entries.emplace_back();
    ASSIGN_OR_RETURN(entry.config, string_member(list[i], "Config", where));
    ASSIGN_OR_RETURN(entry.tags, strings_member(list[i], "RepoTags", where));
    ASSIGN_OR_RETURN(entry.layers, strings_member(list[i], "Layers", where));
    if (entry.layers.size() > kMaxLayers) {
      return image_error(where + ".Layers", "are more than " + std::to_string(kMaxLayers));
    }
  }
  if (entries.empty()) return image_error("manifest.json", "names no image");
  return entries;
}

Result<Entry> choose_entry(const std::vector<Entry>& entries, const std::string& name) {
  if (name.empty() && entries.size() == 1) return entries.front();
  std::string wanted;
  if (!name.empty()) {
    ASSIGN_OR_RETURN(wanted, store_name(name));
  }
  std::string tags;
  for (const Entry& entry : entries) {
    for (const std::string& tag : entry.tags) {
      const auto canonical = store_name(tag);
      if (!wanted.empty() && canonical.has_value() && *canonical == wanted) return entry;
      if (tags.size() < 200) tags += (tags.empty() ? "" : ", ") + tag;
    }
  }
  if (tags.empty()) tags = "none";
  if (!name.empty()) {
    return image_error("manifest.json", "has no image '" + name + "', only: " + tags);
  }
  return image_error("manifest.json",
                     "has several images, name one as docker-archive:FILE:NAME:TAG: " + tags);
}

// Configurations, and lately layers, are named by their digest: "HEX.json", "blobs/sha256/HEX".
std::string digest_in_name(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string digest = "sha256:" + name.substr(0, name.find('.'));
  return is_sha256_digest(digest) ? digest : "";
}

Result<LoadedImage> load(const TarIndex& archive, const Entry& entry) {
  ASSIGN_OR_RETURN(const std::string config, require(archive.read(entry.config, kMaxDocument),
                                                     "image configuration '" + entry.config + "'"));
  const std::string digest = digest_in_name(entry.config);
  if (!digest.empty() && sha256_of(config) != digest) {
    return image_error("image configuration '" + entry.config + "'",
                       "digest mismatch: its content is " + sha256_of(config));
  }
  std::vector<Layer> layers;
  for (const std::string& path : entry.layers) {
    Layer layer;
    layer.label = "layer " + std::to_string(layers.size() + 1) + " (" + path + ")";
    ASSIGN_OR_RETURN(const TarExtent extent, require(archive.find(path), layer.label));
    layer.fd = archive.fd();
    layer.offset = extent.offset;
    layer.size = extent.size;
    if (path.starts_with("blobs/sha256/")) layer.digest = digest_in_name(path);
    layers.push_back(std::move(layer));
  }
  return make_loaded_image(config, std::move(layers));
}

}  // namespace

Result<LoadedImage> load_docker_archive(const std::string& path, const std::string& name,
                                        const std::string& scratch) {
  ASSIGN_OR_RETURN(const TarIndex archive, TarIndex::open(path, scratch));
  ASSIGN_OR_RETURN(const auto entries, read_entries(archive));
  ASSIGN_OR_RETURN(const Entry entry, choose_entry(entries, name));
  return load(archive, entry);
}

}  // namespace vch
