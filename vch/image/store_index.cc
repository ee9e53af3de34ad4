#include "vch/image/store_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/io.h"
#include "vch/image/image_error.h"
#include "vch/image/json_fields.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
namespace fs = std::filesystem;

constexpr std::string_view kDiskSuffix = ".squashfs";

// An empty object when there is no such file.
Result<Json> read_object(const std::string& path) {
  auto text = common::read_file(path);
  if (text.has_error() && text.error().code.value() == ENOENT) return Json::object();
  if (text.has_error()) return text.error();
  return parse_json_object(*text, path);
}

std::string dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<ImageRecord> parse_record(const std::string& id, const Json& json) {
  ImageRecord record;
  record.id = id;
  ASSIGN_OR_RETURN(record.disk, string_member(json, "disk"));
  ASSIGN_OR_RETURN(record.disk_size, number_member(json, "disk_size"));
  ASSIGN_OR_RETURN(const std::string created, string_member(json, "created"));
  record.created = std::strtoll(created.c_str(), nullptr, 10);
  ASSIGN_OR_RETURN(const Json image, object_member(json, "image"));
  ASSIGN_OR_RETURN(record.config, parse_image_config(image.dump()));
  return record;
}

Status remove_file(const fs::path& path) {
  std::error_code code;
  fs::remove(path, code);
  return code ? Status(common::make_error(code.value(), "remove", path.string())) : Status();
}

}  // namespace

Result<StoreIndex> StoreIndex::load(const std::string& store) {
  StoreIndex index(store);
  ASSIGN_OR_RETURN(const Json names, read_object(store + "/names.json"));
  for (const auto& item : names.items()) {
    ASSIGN_OR_RETURN(index.names[item.key()], string_member(names, item.key(), "names.json"));
  }
  ASSIGN_OR_RETURN(const Json sources, read_object(store + "/sources.json"));
  for (const auto& item : sources.items()) {
    ASSIGN_OR_RETURN(const Json source, object_member(sources, item.key(), "sources.json"));
    SourceRecord& record = index.sources[item.key()];
    ASSIGN_OR_RETURN(record.path, string_member(source, "path", item.key()));
    ASSIGN_OR_RETURN(record.fingerprint, string_member(source, "fingerprint", item.key()));
    ASSIGN_OR_RETURN(record.id, string_member(source, "id", item.key()));
  }
  return index;
}

Status StoreIndex::save() const {
  Json saved_sources = Json::object();
  for (const auto& [source, record] : sources) {
    saved_sources[source] = {
        {"path", record.path}, {"fingerprint", record.fingerprint}, {"id", record.id}};
  }
  RETURN_IF_ERROR(common::write_file_atomically(store_ + "/sources.json", dump(saved_sources)));
  return common::write_file_atomically(store_ + "/names.json", dump(Json(names)));
}

std::vector<std::string> StoreIndex::names_of(const std::string& id) const {
  std::vector<std::string> found;
  for (const auto& [name, named] : names) {
    if (named == id) found.push_back(name);
  }
  return found;
}

std::vector<std::string> StoreIndex::ids() const {
  std::set<std::string> found;
  for (const auto& [name, id] : names) found.insert(id);
  for (const auto& [source, record] : sources) found.insert(record.id);
  return {found.begin(), found.end()};
}

std::string StoreIndex::image_path(const std::string& id) const {
  return store_ + "/images/" + id + ".json";
}

std::string StoreIndex::disk_path(const std::string& key) const {
  return store_ + "/disks/" + key + std::string(kDiskSuffix);
}

std::optional<uint64_t> StoreIndex::disk_size(const std::string& key) const {
  struct stat status {};
  if (::stat(disk_path(key).c_str(), &status) != 0) return std::nullopt;
  return static_cast<uint64_t>(status.st_size);
}

Result<std::optional<ImageRecord>> StoreIndex::read_image(const std::string& id) const {
  const std::string path = image_path(id);
  ASSIGN_OR_RETURN(const Json json, read_object(path));
  if (json.empty()) return std::optional<ImageRecord>();
  auto record = parse_record(id, json);
  if (record.has_error()) return within(path, record.error());
  if (disk_size(record->disk) != record->disk_size) return std::optional<ImageRecord>();
  return std::optional(std::move(*record));
}

Result<std::optional<ImageRecord>> StoreIndex::find_disk(const std::string& key) const {
  for (const std::string& id : ids()) {
    ASSIGN_OR_RETURN(auto record, read_image(id));
    if (record && record->disk == key) return record;
  }
  return std::optional<ImageRecord>();
}

Status StoreIndex::write_image(const ImageRecord& record) const {
  const Json json = {{"disk", record.disk},
                     {"disk_size", record.disk_size},
                     {"created", std::to_string(record.created)},
                     {"image", Json::parse(to_json(record.config))}};
  return common::write_file_atomically(image_path(record.id), dump(json));
}

Status StoreIndex::collect_garbage() {
  std::erase_if(sources, [](const auto& source) {
    struct stat status {};
    return ::stat(source.second.path.c_str(), &status) != 0 && errno == ENOENT;
  });
  RETURN_IF_ERROR(save());
  const std::vector<std::string> live = ids();
  std::set<std::string> disks;
  for (const std::string& id : live) {
    ASSIGN_OR_RETURN(const auto record, read_image(id));
    if (record) disks.insert(record->disk);
  }
  std::vector<fs::path> garbage;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(store_ + "/images", ignored)) {
    const std::string id = entry.path().stem().string();
    if (!std::binary_search(live.begin(), live.end(), id)) garbage.push_back(entry.path());
  }
  for (const auto& entry : fs::directory_iterator(store_ + "/disks", ignored)) {
    if (!disks.contains(entry.path().stem().string())) garbage.push_back(entry.path());
  }
  for (const fs::path& path : garbage) RETURN_IF_ERROR(remove_file(path));
  return {};
}

}  // namespace vch
