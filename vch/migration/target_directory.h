// The container's directory at the target. Its files are the source's own under further names, hard
// links: disks, journal, console and descriptions are there once, whoever has them. So both
// directories of state must be on one file system.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"
#include "vch/migration/record.h"

namespace vch {

// Makes record.incoming() and the volumes that `source` mounts; adds those it had to make to
// `record`, which is written at both ends. EXDEV and EEXIST say what is in the way.
common::Status make_incoming(const Container& source, MigrationRecord& record);

// What the source's directory has become since: the machine stands still and no shim lives. The
// newest journal file's number, and whether the console's log is another than it was when the
// target's QEMU opened it.
struct LogChanges {
  uint64_t journal = 0;
  bool console = false;
};
common::Result<LogChanges> bring_up_to_date(const Container& source, const Container& target);

// Removes record.incoming(), and the volumes that were made for it.
common::Status remove_incoming(const MigrationRecord& record);

// The source's directory gives its place to a link to the target's, and is record.left_behind()
// then. Nothing to do when there is none, or it was done.
common::Status leave_link(const MigrationRecord& record);

// What else is in a container's directory that is no file of its own: locks, sockets, logs of
// processes that the other end has as well.
bool stays_behind(const std::string& name);

}  // namespace vch
