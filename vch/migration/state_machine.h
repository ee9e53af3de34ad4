// How a machine moves, as a sequence of steps: at any moment at most one of the two machines runs,
// and whatever fails, one of them does in the end.
//
//   begin      the target's machine is there and waits; memory goes over while the source runs
//   look ...   until the source stands still and the target has all of it
//   hand_over  nobody is connected to the source any more; the journal's files are the target's
//   commit     ---- the point of no return, one rename (record.h) ----
//   run_target the target runs
//   finish     the source's machine and directory go; clients find the target in its place
//
// Up to commit anything that fails, and whoever aborts it, leads to undo: the target's machine
// ends, and only then the source's goes on. A target that refuses to run behind commit has not run:
// it is ended, commit is taken back, and undo follows. When whoever moves it dies, the next one
// asks is_committed(), and goes on with undo or with run_target and finish; each may be done twice.
#pragma once

#include <cstdint>
#include <functional>

#include "common/result.h"

namespace vch {

struct Transfer {
  bool complete = false;
  uint64_t done = 0, total = 0;  // bytes of memory
};

class MigrationSteps {
 public:
  virtual ~MigrationSteps() = default;
  virtual common::Status begin() = 0;
  // An error when the transfer has failed, or either machine has ended.
  virtual common::Result<Transfer> look() = 0;
  virtual common::Status hand_over() = 0;
  virtual common::Status commit() = 0;
  // ENOTCONN when the target's machine is no more.
  virtual common::Status run_target() = 0;
  // The target's machine ends before this returns without an error.
  virtual common::Status take_back() = 0;
  virtual common::Status undo() = 0;
  virtual common::Status finish() = 0;
};

// Called between two looks: waits a moment. An error aborts the migration and says why.
using Pace = std::function<common::Status(const Transfer&)>;

// An error: the source's machine runs as before, unless the error is finish()'s or names what could
// not be undone; `moved` tells.
struct MigrationEnd {
  bool moved = false;
  common::Status status;
};
MigrationEnd run_migration(MigrationSteps& steps, const Pace& pace);

// Behind one that broke off.
common::Status settle_migration(MigrationSteps& steps, bool committed);

}  // namespace vch
