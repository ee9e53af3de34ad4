// The way back: the target's machine ends, and the source's goes on.
#include <cstdio>
#include <thread>

#include "vch/machine/machine.h"
#include "vch/migration/live_migration.h"
#include "vch/migration/source_machine.h"
#include "vch/migration/target_directory.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Status;

constexpr int kTimeoutMs = 10000;
constexpr auto kStopTimeout = std::chrono::seconds(30);
constexpr auto kPause = std::chrono::milliseconds(1);

}  // namespace

Status LiveMigration::take_back() {
  monitor_.reset();
  RETURN_IF_ERROR(kill_machine(target_));
  const std::string from = record_.at_target(), to = record_.incoming();
  if (is_link(to)) {
    RETURN_IF_ERROR(exchange(from, to));
  } else if (::rename(from.c_str(), to.c_str()) != 0) {
    return errno_error("rename", from);
  }
  target_.directory = to;
  return {};
}

Status LiveMigration::undo() {
  monitor_.reset();
  // Nothing of the source's is touched before the target cannot run any more.
  if (is_directory(target_.directory)) RETURN_IF_ERROR(kill_machine(target_));
  const bool here = is_directory(source_.directory);  // else it has been removed meanwhile
  if (here && machine_running(source_)) RETURN_IF_ERROR(resume_source());
  no_shim_.reset();
  RETURN_IF_ERROR(remove_incoming(record_));
  if (!here) return {};
  RETURN_IF_ERROR(remove_file(source_.file(kMigrationRecord)));
  // Clients start one themselves, but the clock and the logs want one, too.
  if (machine_running(source_)) complain(ensure_shim(source_, program_));
  return {};
}

Status LiveMigration::resume_source() {
  const auto deadline = Clock::now() + kStopTimeout;
  for (;; std::this_thread::sleep_for(kPause)) {
    auto qmp = Qmp::open(source_.directory, kTimeoutMs);
    if (qmp.has_error()) return machine_running(source_) ? Status(qmp.error()) : Status();
    ASSIGN_OR_RETURN(const MigrationProgress now, migration_progress(*qmp));
    const bool over = now.status == "none" || now.status == "completed" || now.status == "failed" ||
                      now.status == "cancelled";
    if (over) {
      ASSIGN_OR_RETURN(const std::string state, run_state(*qmp));
      if (state == "running") return {};
      if (state == "postmigrate" || state == "paused") return qmp->execute("cont", kTimeoutMs);
    } else if (now.status != "cancelling") {
      RETURN_IF_ERROR(qmp->execute("migrate_cancel", kTimeoutMs));
    }
    if (Clock::now() > deadline) {
      return make_error(ETIMEDOUT, "go on with", source_.spec.name,
                        "QEMU's transfer stays " + now.status);
    }
  }
}

}  // namespace vch
