// What the image store holds: names, where images came from, and one record an image.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "vch/image/image_config.h"

namespace vch {

struct ImageRecord {
  std::string id;
  std::string disk;  // key: DIR/disks/KEY.squashfs
  uint64_t disk_size = 0;
  int64_t created = 0;
  ImageConfig config;
};

struct SourceRecord {
  std::string path;         // of the file or directory
  std::string fingerprint;  // of the source when it was read; empty: it has none
  std::string id;
};

// A snapshot, to be loaded and saved under the store's lock. An image lives as long as a name or a
// source leads to it.
class StoreIndex {
 public:
  static common::Result<StoreIndex> load(const std::string& store);

  std::map<std::string, std::string> names;     // name -> id
  std::map<std::string, SourceRecord> sources;  // "dir:/abs/path" -> image

  std::vector<std::string> names_of(const std::string& id) const;
  std::vector<std::string> ids() const;
  // Nothing when there is no such image, or its disk is gone.
  common::Result<std::optional<ImageRecord>> read_image(const std::string& id) const;
  common::Status write_image(const ImageRecord& record) const;
  // An image that has the disk with that key.
  common::Result<std::optional<ImageRecord>> find_disk(const std::string& key) const;
  std::string disk_path(const std::string& key) const;

  // Forgets sources whose files are gone; removes images that nothing leads to, and disks that no
  // image has. Saves.
  common::Status collect_garbage();

 private:
  common::Status save() const;
  explicit StoreIndex(std::string store) : store_(std::move(store)) {}
  // Nothing when there is no such disk.
  std::optional<uint64_t> disk_size(const std::string& key) const;
  std::string image_path(const std::string& id) const;
  std::string store_;
};

}  // namespace vch
