#include "vch/image/oci_layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "common/io.h"
#include "vch/image/image_error.h"
#include "vch/image/json_fields.h"
#include "vch/image/manifest.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kMaxIndexDepth = 4;

// Opens a blob and checks that it has the size it should have.
Result<common::UniqueFd> open_blob(const std::string& directory, const Descriptor& descriptor,
                                   const std::string& what) {
  const std::string path = directory + "/blobs/sha256/" + hex_of(descriptor.digest);
  auto fd = common::open_file(path, O_RDONLY);
  if (fd.has_error() && fd.error().code.value() == ENOENT) {
    return image_error(what, "is missing from blobs/sha256");
  }
  if (fd.has_error()) return fd;
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return common::errno_error("stat", path);
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size == descriptor.size) return fd;
  return image_error(what, (size < descriptor.size ? "is truncated: " : "is too long: ") +
                               std::to_string(size) + " bytes instead of " +
                               std::to_string(descriptor.size));
}

Result<std::string> read_document(const std::string& directory, const Descriptor& descriptor,
                                  const std::string& kind) {
  const std::string what = kind + " (" + descriptor.digest + ")";
  if (descriptor.size > kMaxDocument) {
    return image_error(what, "is larger than " + std::to_string(kMaxDocument >> 20U) + " MiB");
  }
  RETURN_IF_ERROR(open_blob(directory, descriptor, what));
  ASSIGN_OR_RETURN(
      std::string text,
      common::read_file(directory + "/blobs/sha256/" + hex_of(descriptor.digest), kMaxDocument));
  const std::string found = sha256_of(text);
  if (found != descriptor.digest) {
    return image_error(what, "digest mismatch: its content is " + found);
  }
  return text;
}

bool has_tag(const Descriptor& descriptor, const std::string& tag) {
  if (descriptor.name == tag) return true;
  const size_t colon = descriptor.name.rfind(':');
  return colon != std::string::npos && descriptor.name.substr(colon + 1) == tag;
}

std::string list_tags(const std::vector<Descriptor>& descriptors) {
  std::string list;
  for (const Descriptor& descriptor : descriptors) {
    if (descriptor.name.empty() || list.size() > 200) continue;
    list += (list.empty() ? "" : ", ") + descriptor.name;
  }
  return list.empty() ? "none" : list;
}

Result<Descriptor> choose_entry(std::vector<Descriptor> entries, const std::string& tag) {
  std::erase_if(entries, [](const Descriptor& d) { return !is_index(d) && !is_manifest(d); });
  if (entries.empty()) return image_error("index.json", "names no image");
  const std::string tags = list_tags(entries);
  if (!tag.empty()) {
    std::erase_if(entries, [&tag](const Descriptor& d) { return !has_tag(d, tag); });
    if (entries.empty()) {
      return image_error("index.json", "has no image tagged '" + tag + "', only: " + tags);
    }
  }
  std::erase_if(entries, [](const Descriptor& d) { return !fits_platform(d); });
  if (entries.empty()) return image_error("index.json", "has no image for linux/amd64");
  const bool one = std::all_of(entries.begin(), entries.end(), [&entries](const Descriptor& d) {
    return d.digest == entries.front().digest;
  });
  if (one) return entries.front();
  if (tag.empty()) {
    const auto latest = std::find_if(entries.begin(), entries.end(),
                                     [](const Descriptor& d) { return has_tag(d, "latest"); });
    if (latest != entries.end()) return *latest;
    return image_error("index.json", "has several images, name one as oci:DIR:TAG: " + tags);
  }
  return image_error("index.json", "has several images tagged '" + tag + "'");
}

Result<Descriptor> find_manifest(const std::string& directory, const std::string& tag) {
  const std::string path = directory + "/index.json";
  auto text = common::read_file(path, kMaxDocument);
  if (text.has_error() && text.error().code.value() == ENOENT) {
    return image_error(directory, "is no OCI image layout: it has no index.json");
  }
  if (text.has_error()) return text.error();
  ASSIGN_OR_RETURN(auto entries, parse_index(*text, "index.json"));
  ASSIGN_OR_RETURN(Descriptor chosen, choose_entry(std::move(entries), tag));
  for (int depth = 0; is_index(chosen); ++depth) {
    if (depth == kMaxIndexDepth) return image_error("index.json", "indexes are nested too deeply");
    ASSIGN_OR_RETURN(const std::string nested, read_document(directory, chosen, "index"));
    ASSIGN_OR_RETURN(auto inner, parse_index(nested, "index (" + chosen.digest + ")"));
    const auto fits = std::find_if(inner.begin(), inner.end(), [](const Descriptor& d) {
      return (is_index(d) || is_manifest(d)) && fits_platform(d);
    });
    if (fits == inner.end()) {
      return image_error("index (" + chosen.digest + ")", "has no image for linux/amd64");
    }
    const Descriptor next = *fits;
    chosen = next;
  }
  return chosen;
}

}  // namespace

Result<LoadedImage> load_oci_layout(const std::string& directory, const std::string& tag) {
  ASSIGN_OR_RETURN(const Descriptor chosen, find_manifest(directory, tag));
  ASSIGN_OR_RETURN(const std::string text, read_document(directory, chosen, "manifest"));
  ASSIGN_OR_RETURN(const ImageManifest manifest,
                   parse_manifest(text, "manifest (" + chosen.digest + ")"));
  ASSIGN_OR_RETURN(const std::string config,
                   read_document(directory, manifest.config, "image configuration"));
  std::vector<Layer> layers;
  for (const Descriptor& descriptor : manifest.layers) {
    Layer layer;
    layer.label = "layer " + std::to_string(layers.size() + 1) + " (" + descriptor.digest + ")";
    layer.size = descriptor.size;
    layer.digest = descriptor.digest;
    ASSIGN_OR_RETURN(auto fd, open_blob(directory, descriptor, layer.label));
    layer.fd = std::make_shared<common::UniqueFd>(std::move(fd));
    layers.push_back(std::move(layer));
  }
  auto image = make_loaded_image(config, std::move(layers));
  if (image.has_error()) {
    return within("image configuration (" + manifest.config.digest + ")", image.error());
  }
  return image;
}

}  // namespace vch
