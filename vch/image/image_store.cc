#include "vch/image/image_store.h"

#include <algorithm>

#include "vch/image/image_error.h"
#include "vch/image/image_importer.h"
#include "vch/image/reference.h"
#include "vch/image/store_files.h"
#include "vch/image/store_index.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr size_t kMinIdPrefix = 4;
constexpr size_t kIdDigits = 64;

// What of a reference may be (the start of) an id; empty when it cannot be one.
std::string_view id_prefix(std::string_view reference) {
  if (reference.starts_with("sha256:")) reference.remove_prefix(7);
  const bool hex = reference.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  const bool fits = reference.size() >= kMinIdPrefix && reference.size() <= kIdDigits;
  return hex && fits ? reference : std::string_view();
}

// "" when there is none.
Result<std::string> find_id(const StoreIndex& index, const std::string& reference) {
  const std::string_view prefix = id_prefix(reference);
  std::string found;
  if (prefix.empty()) return found;
  for (const std::string& id : index.ids()) {
    if (!id.starts_with(prefix)) continue;
    if (!found.empty()) {
      return image_error("image '" + reference + "'", "several ids begin so: type more digits");
    }
    found = id;
  }
  return found;
}

// A name, else an id. Nothing when the store has neither; an error when it is no possible name.
Result<std::optional<Image>> find(const std::string& store, const std::string& reference) {
  ASSIGN_OR_RETURN(const auto lock, lock_store_shared(store));
  ASSIGN_OR_RETURN(const StoreIndex index, StoreIndex::load(store));
  const auto name = store_name(reference);
  const auto named = name.has_error() ? index.names.end() : index.names.find(*name);
  ASSIGN_OR_RETURN(std::string id, find_id(index, reference));
  if (named != index.names.end()) id = named->second;
  if (id.empty() && name.has_error()) return name.error();
  if (id.empty()) return std::optional<Image>();
  ASSIGN_OR_RETURN(const auto record, index.read_image(id));
  if (!record) return std::optional<Image>();
  if (named != index.names.end()) return std::optional(to_image(index, *record, named->first));
  const auto names = index.names_of(id);
  return std::optional(to_image(index, *record, names.empty() ? "" : names.front()));
}

Status add_name(const std::string& store, const std::string& id, const std::string& name) {
  ASSIGN_OR_RETURN(const auto lock, lock_store(store));
  ASSIGN_OR_RETURN(StoreIndex index, StoreIndex::load(store));
  index.names[name] = id;
  return index.collect_garbage();
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

Result<ImageStore> ImageStore::open(const std::string& directory) {
  RETURN_IF_ERROR(prepare_store(directory));
  return ImageStore(directory);
}

Result<Image> ImageStore::resolve(const std::string& reference, const Progress& progress) {
  ASSIGN_OR_RETURN(const Source source, parse_source(reference));
  if (source.kind == SourceKind::kName || source.kind == SourceKind::kRegistry) {
    ASSIGN_OR_RETURN(auto found, find(directory_, source.location));
    if (found) return std::move(*found);
    return pull(source.location, progress);
  }
  return ImageImporter(directory_, progress).add(source, "");
}

Result<Image> ImageStore::import(const std::string& source_text, const std::string& name_text,
                                 const Progress& progress) {
  ASSIGN_OR_RETURN(const std::string name, store_name(name_text));
  ASSIGN_OR_RETURN(const Source source, parse_source(source_text));
  ImageImporter importer(directory_, progress);
  if (source.kind == SourceKind::kRegistry) {
    ASSIGN_OR_RETURN(const std::string from, store_name(source.location));
    return importer.pull(registry_name(from), name);
  }
  if (source.kind != SourceKind::kName) return importer.add(source, name);
  ASSIGN_OR_RETURN(Image image, resolve(source_text, progress));
  RETURN_IF_ERROR(add_name(directory_, image.id, name));
  image.name = name;
  return image;
}

Result<Image> ImageStore::pull(const std::string& reference, const Progress& progress) {
  ASSIGN_OR_RETURN(const Source source, parse_source(reference));
  if (source.kind != SourceKind::kName && source.kind != SourceKind::kRegistry) {
    return image_error("pull '" + reference + "'",
                       "is in no registry; use vch image import " + reference + " NAME");
  }
  ASSIGN_OR_RETURN(const std::string name, store_name(source.location));
  return ImageImporter(directory_, progress).pull(registry_name(name), name);
}

Result<std::vector<Image>> ImageStore::list() const {
  ASSIGN_OR_RETURN(const auto lock, lock_store_shared(directory_));
  ASSIGN_OR_RETURN(const StoreIndex index, StoreIndex::load(directory_));
  std::vector<Image> images;
  for (const auto& [name, id] : index.names) {
    ASSIGN_OR_RETURN(const auto record, index.read_image(id));
    if (record) images.push_back(to_image(index, *record, name));
  }
  for (const std::string& id : index.ids()) {
    if (!index.names_of(id).empty()) continue;
    ASSIGN_OR_RETURN(const auto record, index.read_image(id));
    if (record) images.push_back(to_image(index, *record, ""));
  }
  return images;
}

Status ImageStore::remove(const std::string& reference) {
  ASSIGN_OR_RETURN(const auto lock, lock_store(directory_));
  ASSIGN_OR_RETURN(StoreIndex index, StoreIndex::load(directory_));
  const auto name = store_name(reference);
  const auto named = name.has_error() ? index.names.end() : index.names.find(*name);
  std::string id;
  if (named != index.names.end()) {
    id = named->second;
    index.names.erase(named);
  } else {
    ASSIGN_OR_RETURN(id, find_id(index, reference));
    if (id.empty()) return image_error("image '" + reference + "'", "is not in the image store");
    const auto names = index.names_of(id);
    if (names.size() > 1) {
      return image_error("image '" + reference + "'",
                         "has several names, remove them one by one: " + join(names));
    }
    std::erase_if(index.names, [&id](const auto& entry) { return entry.second == id; });
  }
  if (index.names_of(id).empty()) {
    std::erase_if(index.sources, [&id](const auto& entry) { return entry.second.id == id; });
  }
  return index.collect_garbage();
}

}  // namespace vch
