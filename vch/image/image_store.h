// The local image store: names, and image disks in a content-addressed cache.
//
// DIR/names.json         name -> image id
// DIR/images/HEX.json    image id (sha256 of the image configuration) -> disk, configuration
// DIR/disks/HEX.squashfs one image disk, shared read-only by all containerVMs
// DIR/sources.json       files and directories that images were made from -> image id, so that an
//                        unchanged one is not read again; an image without a name lives as long as
//                        its source leads to it
//
// Safe against concurrent use by several processes (store_files.h); a crash or a full disk leaves
// no half image. All calls block.
#pragma once

#include <string>
#include <vector>

#include "vch/image/image_config.h"
#include "vch/image/progress.h"

namespace vch {

struct Image {
  std::string name;        // "busybox:latest"; empty when it has none
  std::string id;          // 64 lower-case hex digits: the digest of its configuration
  std::string disk;        // path of the squashfs
  uint64_t disk_size = 0;  // bytes
  int64_t created = 0;     // seconds since 1970, as the image says
  ImageConfig config;
};

class ImageStore {
 public:
  // Creates the directory when missing.
  static common::Result<ImageStore> open(const std::string& directory);

  // IMAGE as typed: a name in the store ("busybox", "busybox:1.36", or an id or its unique prefix
  // of at least 4 digits), "oci:DIR[:TAG]", "docker-archive:FILE[:NAME:TAG]", "dir:DIR",
  // "docker://REF". A name that is not in the store is pulled as Docker would; docker:// is the
  // same for names that would read as something else.
  common::Result<Image> resolve(const std::string& reference, const Progress& progress);
  // Imports any of the sources above under a name (":latest" is added when it has no tag). An image
  // of the store gets one more name; docker:// is always pulled anew.
  common::Result<Image> import(const std::string& source, const std::string& name,
                               const Progress& progress);
  // Pulls by skopeo ("alpine", "docker.io/library/alpine:3", "localhost:5000/x").
  common::Result<Image> pull(const std::string& reference, const Progress& progress);
  // Sorted by name; those without one come last.
  common::Result<std::vector<Image>> list() const;
  // By name: removes the name, and the image with its last name. By id or prefix: the image, unless
  // it has several names. Containers keep their own hard link to the disk.
  common::Status remove(const std::string& reference);

 private:
  explicit ImageStore(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

}  // namespace vch
