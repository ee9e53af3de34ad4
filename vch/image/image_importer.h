// Bringing an image into the store, unless it is there.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "vch/image/image_store.h"
#include "vch/image/loaded_image.h"
#include "vch/image/reference.h"
#include "vch/image/store_index.h"

namespace vch {

Image to_image(const StoreIndex& index, const ImageRecord& record, const std::string& name);

class ImageImporter {
 public:
  // `store` is the store's directory; both must outlive this.
  ImageImporter(const std::string& store, const Progress& progress)
      : store_(store), progress_(progress) {}

  // A layout, archive or directory. `name` may be empty.
  common::Result<Image> add(const Source& source, const std::string& name);
  common::Result<Image> pull(const std::string& registry_name, const std::string& name);

 private:
  struct Origin {
    std::string name;    // to give; may be empty
    std::string source;  // key in the index; may be empty
    SourceRecord record;
  };
  common::Result<Image> add_oci_layout(const Source& source, const Origin& origin);
  common::Result<Image> add_docker_archive(const Source& source, Origin origin);
  common::Result<Image> add_directory(const Source& source, Origin origin);
  common::Result<Image> add_loaded(const LoadedImage& loaded, const Origin& origin);

  // The image that this source had when it was as it is now.
  common::Result<std::optional<Image>> find_unchanged(const Origin& origin) const;
  // The image with that id, if the store has it, entered for this origin too.
  common::Result<std::optional<Image>> find_by_id(const std::string& id,
                                                  const Origin& origin) const;
  common::Result<Image> enter(StoreIndex& index, const ImageRecord& record,
                              const Origin& origin) const;
  // The image of another configuration and the same layers, so that its disk serves for both.
  common::Result<std::optional<Image>> share_disk(const ImageRecord& record,
                                                  const Origin& origin) const;
  // Takes over the disk at `new_disk`.
  common::Result<Image> publish(ImageRecord record, const std::string& new_disk,
                                const Origin& origin) const;

  const std::string& store_;
  const Progress& progress_;
};

}  // namespace vch
