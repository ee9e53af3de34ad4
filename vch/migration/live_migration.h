// The steps of state_machine.h with two QEMUs.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"
#include "vch/machine/qmp.h"
#include "vch/migration/record.h"
#include "vch/migration/state_machine.h"

namespace vch {

// Whoever has one holds the migration's lock.
class LiveMigration : public MigrationSteps {
 public:
  // `program`: vch, for shims. `spec`: the container's. A successor says nothing on stderr.
  LiveMigration(MigrationRecord record, ContainerSpec spec, std::string program, bool successor);

  common::Status begin() override;
  common::Result<Transfer> look() override;
  common::Status hand_over() override;
  common::Status commit() override;
  common::Status run_target() override;
  common::Status take_back() override;
  common::Status undo() override;
  common::Status finish() override;

  // Behind run_target(): for how long neither machine ran.
  std::chrono::milliseconds downtime() const { return downtime_; }

 private:
  using Clock = std::chrono::steady_clock;

  common::Status launch_target();
  common::Status start_transfer();
  common::Status let_state_go();
  common::Status await_loaded();
  common::Status resume_source();
  void leave_no_anonymous_volumes() const;
  // Those of finish() that change nothing about where the container is: they complain alone.
  void take_possession();
  void take_volumes(Qmp& qmp);
  void take_ports(Qmp& qmp);
  void complain(const common::Status& status) const;

  MigrationRecord record_;
  Container source_, target_;
  std::string program_;
  bool successor_;
  uint64_t journal_ = 0;        // the number of the file that the target's QEMU has open
  std::optional<Qmp> monitor_;  // the target's
  common::UniqueFd no_shim_;    // at the source
  Clock::time_point began_{}, stopped_{};
  std::chrono::milliseconds downtime_{0};
};

}  // namespace vch
