#include "vch/image/loaded_image.h"

#include <time.h>

#include <cstdio>

#include "vch/image/image_error.h"
#include "vch/image/json_fields.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

// Part of a disk's name: another number when the same layers would make another disk.
constexpr std::string_view kDiskFormat = "squashfs lz4 128k, 1\n";

Status check_platform(const ImageConfig& config) {
  const bool fits = (config.os.empty() || config.os == "linux") &&
                    (config.architecture.empty() || config.architecture == "amd64");
  if (fits) return {};
  return image_error("the image", "is for " + config.os + "/" + config.architecture +
                                      ", a containerVM runs linux/amd64");
}

}  // namespace

Result<LoadedImage> make_loaded_image(std::string_view config_text, std::vector<Layer> layers) {
  LoadedImage image;
  image.id = hex_of(sha256_of(config_text));
  ASSIGN_OR_RETURN(image.config, parse_image_config(config_text));
  RETURN_IF_ERROR(check_platform(image.config));
  ASSIGN_OR_RETURN(const Json json, parse_json_object(config_text, "the image configuration"));
  ASSIGN_OR_RETURN(const std::string created, string_member(json, "created"));
  image.created = parse_time(created);
  ASSIGN_OR_RETURN(const Json rootfs, object_member(json, "rootfs"));
  ASSIGN_OR_RETURN(const auto diff_ids, strings_member(rootfs, "diff_ids", "rootfs"));
  if (diff_ids.size() != layers.size()) {
    return image_error("rootfs.diff_ids", "names " + std::to_string(diff_ids.size()) +
                                              " layers, the manifest " +
                                              std::to_string(layers.size()));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!is_sha256_digest(diff_ids[i])) {
      return image_error("rootfs.diff_ids[" + std::to_string(i) + "]",
                         "'" + diff_ids[i] + "' is not sha256: and 64 hex digits");
    }
    layers[i].diff_id = diff_ids[i];
  }
  image.layers = std::move(layers);
  return image;
}

std::string disk_key(const std::vector<Layer>& layers) {
  std::string text(kDiskFormat);
  for (const Layer& layer : layers) text += layer.diff_id + "\n";
  return hex_of(sha256_of(text));
}

std::string disk_key(std::string_view content_digest) {
  return hex_of(sha256_of(std::string(kDiskFormat) + "dir " + std::string(content_digest)));
}

int64_t parse_time(const std::string& text) {
  struct tm parts {};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return 0;
  if (*rest == '.') ++rest;
  while (*rest >= '0' && *rest <= '9') ++rest;
  int64_t offset = 0;
  char sign = '+';
  int hours = 0;
  int minutes = 0;
  if (std::sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3) {
    offset = (hours * 60 + minutes) * 60;
    if (sign == '-') offset = -offset;
  }
  return int64_t{::timegm(&parts)} - offset;
}

}  // namespace vch
