// What is written down about a migration while it is under way, so that whoever comes behind one
// that broke off knows how to end it.
//
// migration.json lies in the container's directory at both ends. The target's directory is made as
// ".incoming-ID" beside the place that it will have; the one rename that gives it that place is the
// point of no return:
//
//   .incoming-ID has no place yet   the container is the source's; the target's machine never ran
//   ID is the target's directory    the container is the target's; the source's machine never runs
//                                   again
//
// migration.lock, one file with a name at both ends, is held by whoever is at work on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"
#include "vch/machine/machine_logs.h"

namespace vch {

inline constexpr const char* kMigrationLock = "migration.lock";

struct MigrationRecord {
  std::string id;                    // the container's
  std::string source;                // absolute, of the directory "containers"
  std::string target;                // likewise
  std::vector<std::string> volumes;  // those that the target got for it

  // The container's directory at the source, and where that goes when the container has left.
  std::string at_source() const { return source + "/" + id; }
  std::string left_behind() const { return source + "/.gone-" + id; }
  // At the target, before and behind the point of no return.
  std::string incoming() const { return target + "/.incoming-" + id; }
  std::string at_target() const { return target + "/" + id; }
};

inline constexpr std::string_view kIncoming = ".incoming-";

common::Status write_record(const std::string& directory, const MigrationRecord& record);
// Nothing when there is none in the directory; EBADMSG for one that makes no sense.
common::Result<std::optional<MigrationRecord>> read_record(const std::string& directory);
// Whether the point of no return is behind.
bool is_committed(const MigrationRecord& record);

// A directory itself, not one that a link leads to.
bool is_directory(const std::string& path);
bool is_link(const std::string& path);
// unlink(); what is not there is removed.
common::Status remove_file(const std::string& path);
// Two names change places at once; each may be a link.
common::Status exchange(const std::string& one, const std::string& other);

}  // namespace vch
