#include "vch/migration/target_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/journal/journal_files.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr mode_t kMode = 0700;
constexpr const char* kConsole = "console.log";
constexpr const char* kJournalPast = "journal.past";

// Who is attached is attached wherever it is: the lock's file must be there to have two names.
constexpr std::array<const char*, 2> kSharedLocks = {"attended.lock", "change.lock"};

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kMode) != 0) return errno_error("create", path);
  return {};
}

Status link_file(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  if (errno == EXDEV) {
    return errno_error("link", to,
                       "the target must be on the file system of " + from +
                           ": disks and journal are shared, not copied");
  }
  return errno_error("link", to);
}

bool same_file(const std::string& one, const std::string& other) {
  struct stat a {
  }, b{};
  return ::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

// In the place of what is there, at once.
Status link_anew(const std::string& from, const std::string& to) {
  if (same_file(from, to)) return {};
  const std::string making = to + ".new";
  RETURN_IF_ERROR(remove_file(making));
  RETURN_IF_ERROR(link_file(from, making));
  if (::rename(making.c_str(), to.c_str()) != 0) return errno_error("rename", making);
  return {};
}

Status link_files(const std::string& source, const std::string& target) {
  std::error_code error;
  for (fs::directory_iterator it(source, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (!it->is_regular_file(ignored) || it->is_symlink(ignored) || stays_behind(name)) continue;
    const Status linked = link_file(it->path().string(), target + "/" + name);
    // A shim may have removed a journal file since it was listed.
    if (linked.has_error() && linked.error().code != std::errc::no_such_file_or_directory) {
      return linked;
    }
  }
  if (error) return make_error(error.value(), "list", source);
  return {};
}

// The same volume under the same name: one disk and one lock, whoever asks.
Result<bool> link_volume(const Volume& volume, const std::string& volumes) {
  const std::string place = volumes + "/" + volume.name;
  if (::access(place.c_str(), F_OK) == 0) {
    if (same_file(volume.disk, place + "/disk.ext4")) return false;
    return make_error(EEXIST, "migrate volume", volume.name,
                      "the target has another one of this name; `vch volume rm` it there");
  }
  const std::string making = volumes + "/.new-" + volume.name;
  std::error_code ignored;
  fs::remove_all(making, ignored);
  RETURN_IF_ERROR(make_directory(making));
  common::ScopeGuard remove([&making] {
    std::error_code none;
    fs::remove_all(making, none);
  });
  RETURN_IF_ERROR(link_files(fs::path(volume.disk).parent_path().string(), making));
  RETURN_IF_ERROR(link_file(volume.lock, making + "/lock"));
  if (::renameat2(AT_FDCWD, making.c_str(), AT_FDCWD, place.c_str(), RENAME_NOREPLACE) != 0) {
    return errno_error("create volume", place);
  }
  remove.dismiss();
  return true;
}

StateDir state_of(const std::string& containers) {
  return StateDir{fs::path(containers).parent_path().string()};
}

// Written down before it is made: what is not there is removed as well.
Status link_volumes(const Container& source, MigrationRecord& record) {
  const StateDir target = state_of(record.target);
  const VolumeStore store(state_of(record.source));
  std::vector<Volume> missing;
  for (const VolumeMount& mount : source.spec.volumes) {
    if (mount.is_tmpfs()) continue;
    ASSIGN_OR_RETURN(Volume volume, store.find(mount.volume));
    if (!is_directory(target.volumes() + "/" + volume.name)) {
      record.volumes.push_back(volume.name);
      RETURN_IF_ERROR(write_record(source.directory, record));
    }
    ASSIGN_OR_RETURN([[maybe_unused]] const bool made, link_volume(volume, target.volumes()));
  }
  return {};
}

Status bring_journal_up_to_date(const std::string& source, const std::string& target) {
  ASSIGN_OR_RETURN(const auto now, list_journal_files(source));
  ASSIGN_OR_RETURN(const auto then, list_journal_files(target));
  // What removed files told comes first: it may be told twice, but not never.
  if (::access((source + "/" + kJournalPast).c_str(), F_OK) == 0) {
    RETURN_IF_ERROR(link_anew(source + "/" + kJournalPast, target + "/" + kJournalPast));
  }
  for (const uint64_t number : now) {
    const std::string name = "/" + journal_file_name(number);
    RETURN_IF_ERROR(link_anew(source + name, target + name));
  }
  for (const uint64_t number : then) {
    if (std::find(now.begin(), now.end(), number) != now.end()) continue;
    RETURN_IF_ERROR(remove_file(target + "/" + journal_file_name(number)));
  }
  return {};
}

}  // namespace

bool stays_behind(const std::string& name) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "machine.lock", "shim.lock", "qemu.pid",       "qemu.log",
      "shim.log",     "vsock.log", kMigrationRecord, "lock"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name == kMigrationLock ||
         name == "link.tcp";
}

Status make_incoming(const Container& source, MigrationRecord& record) {
  RETURN_IF_ERROR(write_record(source.directory, record));
  const std::string place = record.incoming();
  RETURN_IF_ERROR(make_directory(place));
  // The lock before the record: who finds the one must find the other held.
  const std::string lock = std::string("/") + kMigrationLock;
  RETURN_IF_ERROR(link_file(source.directory + lock, place + lock));
  RETURN_IF_ERROR(write_record(place, record));
  for (const char* name : kSharedLocks) {
    ASSIGN_OR_RETURN(const auto made, common::open_file(source.file(name), O_RDWR | O_CREAT, 0600));
  }
  RETURN_IF_ERROR(link_files(source.directory, place));
  RETURN_IF_ERROR(link_volumes(source, record));
  return write_record(place, record);
}

Result<LogChanges> bring_up_to_date(const Container& source, const Container& target) {
  LogChanges changes;
  RETURN_IF_ERROR(bring_journal_up_to_date(source.directory, target.directory));
  ASSIGN_OR_RETURN(const JournalPosition end, journal_end(target.directory));
  changes.journal = end.file;
  if (::access(source.file(kConsole).c_str(), F_OK) == 0 &&
      !same_file(source.file(kConsole), target.file(kConsole))) {
    RETURN_IF_ERROR(link_anew(target.file(kConsole), target.file("console.log.1")));
    RETURN_IF_ERROR(link_anew(source.file(kConsole), target.file(kConsole)));
    changes.console = true;
  }
  return changes;
}

Status remove_incoming(const MigrationRecord& record) {
  std::error_code error;
  const StateDir target = state_of(record.target);
  for (const std::string& name : record.volumes) {
    // Only a further name of what the source has.
    fs::remove_all(target.volumes() + "/" + name, error);
  }
  if (!is_directory(record.incoming())) return {};
  fs::remove_all(record.incoming(), error);
  if (error) return make_error(error.value(), "remove", record.incoming());
  return {};
}

Status leave_link(const MigrationRecord& record) {
  const std::string place = record.at_source();
  const std::string behind = record.left_behind();
  if (!is_directory(place)) return {};
  std::error_code error;
  fs::remove_all(behind, error);
  if (error) return make_error(error.value(), "remove", behind);
  if (::symlink(record.at_target().c_str(), behind.c_str()) != 0) {
    return errno_error("link", behind);
  }
  return exchange(place, behind);
}

}  // namespace vch
