// An image ready to become a disk: what its source said, checked, with its layers still where they
// are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "vch/image/image_config.h"
#include "vch/image/layer_stream.h"

namespace vch {

struct LoadedImage {
  std::string id;       // hex digits of the configuration's SHA-256
  int64_t created = 0;  // seconds since 1970
  ImageConfig config;
  std::vector<Layer> layers;
};

// From the text of its configuration, whose diff_ids go into the layers. Refuses an image of
// another platform than linux/amd64 and one whose configuration has another number of layers.
common::Result<LoadedImage> make_loaded_image(std::string_view config_text,
                                              std::vector<Layer> layers);

// Names the disk that these layers make: the same layers, the same disk, whatever the source.
std::string disk_key(const std::vector<Layer>& layers);
std::string disk_key(std::string_view content_digest);

// "2024-05-01T10:20:30.5Z" (RFC 3339) in seconds since 1970; 0 when it is none.
int64_t parse_time(const std::string& text);

}  // namespace vch
