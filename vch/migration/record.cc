#include "vch/migration/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/io.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxRecord = 1U << 20U;

mode_t kind_of(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 ? found.st_mode & S_IFMT : 0;
}

}  // namespace

Status write_record(const std::string& directory, const MigrationRecord& record) {
  const Json json = {{"id", record.id},
                     {"source", record.source},
                     {"target", record.target},
                     {"volumes", record.volumes}};
  return common::write_file_atomically(directory + "/" + kMigrationRecord, json.dump() + "\n",
                                       0600);
}

Result<std::optional<MigrationRecord>> read_record(const std::string& directory) {
  const std::string path = directory + "/" + kMigrationRecord;
  const auto text = common::read_file(path, kMaxRecord);
  if (text.has_error()) {
    if (text.error().code == std::errc::no_such_file_or_directory) {
      return std::optional<MigrationRecord>();
    }
    return text.error();
  }
  try {
    const Json json = Json::parse(*text);
    MigrationRecord record;
    record.id = json.at("id").get<std::string>();
    record.source = json.at("source").get<std::string>();
    record.target = json.at("target").get<std::string>();
    record.volumes = json.at("volumes").get<std::vector<std::string>>();
    return std::optional(record);
  } catch (const Json::exception&) {
    return common::make_error(EBADMSG, "read", path,
                              "not a migration's record; remove it if the container runs");
  }
}

bool is_committed(const MigrationRecord& record) {
  return is_directory(record.at_target()) &&
         ::access((record.at_target() + "/" + kMigrationRecord).c_str(), F_OK) == 0;
}

bool is_directory(const std::string& path) { return S_ISDIR(kind_of(path)); }
bool is_link(const std::string& path) { return S_ISLNK(kind_of(path)); }

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return common::errno_error("remove", path);
}

Status exchange(const std::string& one, const std::string& other) {
  if (::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) return {};
  return common::errno_error("exchange " + one + " with", other);
}

}  // namespace vch
