#include "vch/image/image_importer.h"

#include <stdio.h>
#include <sys/stat.h>

#include <filesystem>

#include "vch/image/build_disk.h"
#include "vch/image/directory_source.h"
#include "vch/image/docker_archive.h"
#include "vch/image/image_error.h"
#include "vch/image/oci_layout.h"
#include "vch/image/sha256.h"
#include "vch/image/skopeo.h"
#include "vch/image/store_files.h"

namespace vch {
namespace {

using common::Result;

std::string absolute(const std::string& path) {
  std::error_code code;
  const auto whole = std::filesystem::canonical(path, code);
  return code ? path : whole.string();
}

// Tells whether a file is the one it was, without reading it.
Result<std::string> file_fingerprint(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return common::errno_error("open", path);
  std::string text;
  for (const int64_t number :
       {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino),
        int64_t{status.st_size}, int64_t{status.st_mtim.tv_sec}, int64_t{status.st_mtim.tv_nsec},
        int64_t{status.st_ctim.tv_sec}, int64_t{status.st_ctim.tv_nsec}}) {
    text += std::to_string(number) + " ";
  }
  return sha256_of(text);
}

// The configuration of an image that is a directory: it says nothing but what is in it.
std::string make_config(const std::string& content_digest) {
  return R"({"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers",)"
         R"("diff_ids":[")" +
         content_digest + R"("]}})";
}

}  // namespace

Image to_image(const StoreIndex& index, const ImageRecord& record, const std::string& name) {
  return {name,           record.id,    index.disk_path(record.disk), record.disk_size,
          record.created, record.config};
}

Result<Image> ImageImporter::add(const Source& source, const std::string& name) {
  Origin origin;
  origin.name = name;
  origin.record.path = absolute(source.location);
  const std::string selector = source.selector.empty() ? "" : ":" + source.selector;
  Result<Image> image = Image();
  std::string kind;
  switch (source.kind) {
    case SourceKind::kOciLayout:
      kind = "oci:";
      origin.source = kind + origin.record.path + selector;
      image = add_oci_layout(source, origin);
      break;
    case SourceKind::kDockerArchive:
      kind = "docker-archive:";
      origin.source = kind + origin.record.path + selector;
      image = add_docker_archive(source, origin);
      break;
    default:
      kind = "dir:";
      origin.source = kind + origin.record.path;
      image = add_directory(source, origin);
      break;
  }
  if (image.has_error()) return within("image " + kind + source.location + selector, image.error());
  return image;
}

Result<Image> ImageImporter::add_oci_layout(const Source& source, const Origin& origin) {
  ASSIGN_OR_RETURN(const LoadedImage loaded, load_oci_layout(source.location, source.selector));
  return add_loaded(loaded, origin);
}

Result<Image> ImageImporter::add_docker_archive(const Source& source, Origin origin) {
  ASSIGN_OR_RETURN(origin.record.fingerprint, file_fingerprint(source.location));
  ASSIGN_OR_RETURN(auto known, find_unchanged(origin));
  if (known) return std::move(*known);
  ASSIGN_OR_RETURN(const ScratchDir scratch, ScratchDir::create(store_));
  if (progress_) progress_("reading archive", 0, 0);
  ASSIGN_OR_RETURN(const LoadedImage loaded,
                   load_docker_archive(source.location, source.selector, scratch.path()));
  return add_loaded(loaded, origin);
}

Result<Image> ImageImporter::pull(const std::string& registry_name, const std::string& name) {
  ASSIGN_OR_RETURN(const ScratchDir scratch, ScratchDir::create(store_));
  RETURN_IF_ERROR(skopeo_pull(registry_name, scratch.path(), progress_));
  auto image = [&]() -> Result<Image> {
    ASSIGN_OR_RETURN(const LoadedImage loaded,
                     load_oci_layout(scratch.path() + "/layout", "image"));
    return add_loaded(loaded, Origin{name, "", {}});
  }();
  if (image.has_error()) return within("image docker://" + registry_name, image.error());
  return image;
}

Result<Image> ImageImporter::add_loaded(const LoadedImage& loaded, const Origin& origin) {
  ASSIGN_OR_RETURN(auto known, find_by_id(loaded.id, origin));
  if (known) return std::move(*known);
  ASSIGN_OR_RETURN(const auto build_lock, lock_builds(store_, progress_));
  // Somebody else may have made it meanwhile.
  ASSIGN_OR_RETURN(known, find_by_id(loaded.id, origin));
  if (known) return std::move(*known);
  ImageRecord record = {loaded.id, disk_key(loaded.layers), 0, loaded.created, loaded.config};
  ASSIGN_OR_RETURN(known, share_disk(record, origin));
  if (known) return std::move(*known);
  ASSIGN_OR_RETURN(const ScratchDir scratch, ScratchDir::create(store_));
  const std::string disk = scratch.path() + "/disk";
  RETURN_IF_ERROR(build_disk(loaded.layers, disk, progress_));
  return publish(std::move(record), disk, origin);
}

Result<Image> ImageImporter::add_directory(const Source& source, Origin origin) {
  if (progress_) progress_("reading directory", 0, 0);
  {
    ASSIGN_OR_RETURN(const DirectorySource directory, DirectorySource::scan(source.location));
    origin.record.fingerprint = directory.fingerprint();
    ASSIGN_OR_RETURN(auto known, find_unchanged(origin));
    if (known) return std::move(*known);
  }
  ASSIGN_OR_RETURN(const auto build_lock, lock_builds(store_, progress_));
  // The wait may have been long enough for the directory to change, or for somebody else to make
  // it.
  ASSIGN_OR_RETURN(const DirectorySource directory, DirectorySource::scan(source.location));
  origin.record.fingerprint = directory.fingerprint();
  ASSIGN_OR_RETURN(auto known, find_unchanged(origin));
  if (known) return std::move(*known);
  ASSIGN_OR_RETURN(const ScratchDir scratch, ScratchDir::create(store_));
  const std::string disk = scratch.path() + "/disk";
  ASSIGN_OR_RETURN(const std::string digest, directory.write_disk(disk, progress_));
  const std::string text = make_config(digest);
  ASSIGN_OR_RETURN(const ImageConfig config, parse_image_config(text));
  ImageRecord record = {hex_of(sha256_of(text)), disk_key(digest), 0, directory.mtime(), config};
  return publish(std::move(record), disk, origin);
}

Result<std::optional<Image>> ImageImporter::find_unchanged(const Origin& origin) const {
  std::string id;
  {
    ASSIGN_OR_RETURN(const auto lock, lock_store_shared(store_));
    ASSIGN_OR_RETURN(const StoreIndex index, StoreIndex::load(store_));
    const auto known = index.sources.find(origin.source);
    if (known == index.sources.end() || known->second.fingerprint != origin.record.fingerprint) {
      return std::optional<Image>();
    }
    id = known->second.id;
  }
  return find_by_id(id, origin);
}

Result<std::optional<Image>> ImageImporter::find_by_id(const std::string& id,
                                                       const Origin& origin) const {
  {
    // Starting a container again changes nothing, and needs no more than to read.
    ASSIGN_OR_RETURN(const auto lock, lock_store_shared(store_));
    ASSIGN_OR_RETURN(const StoreIndex index, StoreIndex::load(store_));
    ASSIGN_OR_RETURN(const auto record, index.read_image(id));
    if (!record) return std::optional<Image>();
    const auto source = index.sources.find(origin.source);
    const auto name = index.names.find(origin.name);
    const bool source_known =
        origin.source.empty() || (source != index.sources.end() && source->second.id == id &&
                                  source->second.fingerprint == origin.record.fingerprint);
    const bool name_known =
        origin.name.empty() || (name != index.names.end() && name->second == id);
    if (source_known && name_known) {
      return std::optional(to_image(index, *record, origin.name));
    }
  }
  ASSIGN_OR_RETURN(const auto lock, lock_store(store_));
  ASSIGN_OR_RETURN(StoreIndex index, StoreIndex::load(store_));
  ASSIGN_OR_RETURN(const auto record, index.read_image(id));
  if (!record) return std::optional<Image>();
  ASSIGN_OR_RETURN(Image image, enter(index, *record, origin));
  return std::optional(std::move(image));
}

Result<Image> ImageImporter::enter(StoreIndex& index, const ImageRecord& record,
                                   const Origin& origin) const {
  if (!origin.name.empty()) index.names[origin.name] = record.id;
  if (!origin.source.empty()) {
    index.sources[origin.source] = {origin.record.path, origin.record.fingerprint, record.id};
  }
  RETURN_IF_ERROR(index.collect_garbage());
  return to_image(index, record, origin.name);
}

Result<std::optional<Image>> ImageImporter::share_disk(const ImageRecord& record,
                                                       const Origin& origin) const {
  ASSIGN_OR_RETURN(const auto lock, lock_store(store_));
  ASSIGN_OR_RETURN(StoreIndex index, StoreIndex::load(store_));
  ASSIGN_OR_RETURN(const auto other, index.find_disk(record.disk));
  if (!other) return std::optional<Image>();
  ImageRecord own = record;
  own.disk_size = other->disk_size;
  RETURN_IF_ERROR(index.write_image(own));
  ASSIGN_OR_RETURN(Image image, enter(index, own, origin));
  return std::optional(std::move(image));
}

Result<Image> ImageImporter::publish(ImageRecord record, const std::string& new_disk,
                                     const Origin& origin) const {
  struct stat status {};
  if (::stat(new_disk.c_str(), &status) != 0) return common::errno_error("stat", new_disk);
  record.disk_size = static_cast<uint64_t>(status.st_size);
  ASSIGN_OR_RETURN(const auto lock, lock_store(store_));
  ASSIGN_OR_RETURN(StoreIndex index, StoreIndex::load(store_));
  const std::string disk = index.disk_path(record.disk);
  if (::rename(new_disk.c_str(), disk.c_str()) != 0) return common::errno_error("rename", disk);
  RETURN_IF_ERROR(index.write_image(record));
  return enter(index, record, origin);
}

}  // namespace vch
