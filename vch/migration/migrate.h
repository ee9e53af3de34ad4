// Moving a container that runs to another directory of state on this host, and ending what somebody
// began to move and did not end.
#pragma once

#include <chrono>
#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"
#include "vch/migration/state_machine.h"

namespace vch {

struct MigrateOptions {
  std::string program;  // vch, for shims
  Pace pace;            // an error aborts it: called some times a second, with the lock held
};

struct Migrated {
  std::chrono::milliseconds downtime{0};  // neither machine ran
  std::chrono::milliseconds total{0};
};

// Blocks until the container runs at the target, and nothing of it at the source. An error: it goes
// on at the source as before, or the error says what else is the case. Should this process be
// killed meanwhile, a child of it brings the matter to its end. Clients that are connected come
// back by themselves. EBUSY: it is being moved already; EOPNOTSUPP names what cannot be moved.
common::Result<Migrated> migrate(const Container& container, const StateDir& target,
                                 const MigrateOptions& options);

// Ends what was begun and broke off in this directory of state, on either side, unless somebody is
// at work on it: forward behind the point of no return, else back. Cheap when there is nothing.
// What goes wrong is left for the next one.
void settle_migrations(const StateDir& state, const std::string& program);
// The same for one container, by its directory.
void settle_migration_of(const std::string& directory, const std::string& program);

// One that is on its way here, by name or id; ENOENT.
common::Result<Container> find_incoming(const StateDir& state, const std::string& wanted);

}  // namespace vch
