#include "vch/migration/state_machine.h"

namespace vch {
namespace {

using common::Status;

Status transfer(MigrationSteps& steps, const Pace& pace) {
  RETURN_IF_ERROR(steps.begin());
  for (;;) {
    ASSIGN_OR_RETURN(const Transfer now, steps.look());
    if (now.complete) return {};
    RETURN_IF_ERROR(pace(now));
  }
}

// The first failure is why; what came of it is said behind.
Status both(const common::Error& why, const Status& then) {
  if (then.has_value()) return why;
  common::Error error = why;
  error.detail += (error.detail.empty() ? "" : "; ") + then.error().message();
  return error;
}

}  // namespace

MigrationEnd run_migration(MigrationSteps& steps, const Pace& pace) {
  Status done = transfer(steps, pace);
  if (done.has_value()) done = steps.hand_over();
  if (done.has_value()) done = steps.commit();
  if (done.has_error()) return {false, both(done.error(), steps.undo())};
  if (done = steps.run_target(); done.has_value()) return {true, steps.finish()};
  if (const Status back = steps.take_back(); back.has_error()) {
    // Neither runs: better than both. The record stays, and the next command tries again.
    return {true, both(done.error(), back)};
  }
  return {false, both(done.error(), steps.undo())};
}

Status settle_migration(MigrationSteps& steps, bool committed) {
  if (!committed) return steps.undo();
  // Its machine may have run and ended since. The source's may still be in its way.
  const Status ran = steps.run_target();
  RETURN_IF_ERROR(steps.finish());
  if (ran.has_value() || ran.error().code == std::errc::not_connected) return {};
  return steps.run_target();
}

}  // namespace vch
