#include "vch/migration/migrate.h"

#include <unistd.h>

#include <filesystem>

#include "common/io.h"
#include "vch/machine/container_spec.h"
#include "vch/machine/container_state.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_logs.h"
#include "vch/machine/qmp.h"
#include "vch/migration/guardian.h"
#include "vch/migration/live_migration.h"
#include "vch/migration/record.h"
#include "vch/migration/source_machine.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr int kTimeoutMs = 10000;

Status refuse(const Container& container, const std::string& why) {
  return make_error(EOPNOTSUPP, "migrate", container.spec.name, why);
}

// What failed in the middle of it says itself on what, but not of whom it was.
common::Error named(const common::Error& error, const Container& container) {
  if (error.operation == "migrate") return error;
  return make_error(0, "migrate", container.spec.name, error.message());
}

Status check_link(const Container& container) {
  const std::string& link = container.spec.link;
  if (link == "virtio-serial" || link == "uart") return {};
  if (link == "vsock") {
    return refuse(container,
                  "its link is a vsocket: vhost-device-vsock and vhost-vsock keep state that QEMU "
                  "cannot take along; --link virtio-serial or uart can move");
  }
  return refuse(container, "its link is " + link +
                               ", whose keys are this state directory's; --link virtio-serial or "
                               "uart can move");
}

Status check_source(const Container& container) {
  RETURN_IF_ERROR(check_link(container));
  if (!machine_running(container)) {
    return make_error(0, "migrate", container.spec.name, "it does not run");
  }
  if (find_suspension(container)) {
    return make_error(ENOSPC, "migrate", container.spec.name, "there is no room for its journal");
  }
  // In 2 of 14 moves in the midst of the firmware, under TCG, the machine reset.
  ASSIGN_OR_RETURN(const ContainerState story, read_state(container));
  if (story.agent_version.empty()) {
    return make_error(EAGAIN, "migrate", container.spec.name, "it has not booted yet");
  }
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  ASSIGN_OR_RETURN(const std::string state, run_state(qmp));
  if (state == "running") return {};
  return make_error(0, "migrate", container.spec.name, "its machine is stopped: " + state);
}

Status check_target(const Container& container, const MigrationRecord& record) {
  if (record.source == record.target) {
    return make_error(EINVAL, "migrate", container.spec.name, "it is there already");
  }
  if (is_directory(record.at_target())) {
    return make_error(EEXIST, "migrate", container.spec.name,
                      record.at_target() + " is there already");
  }
  if (is_directory(record.incoming())) {
    return make_error(EBUSY, "migrate", container.spec.name,
                      record.incoming() + " is left of another attempt, and in use");
  }
  return ContainerStore(StateDir{fs::path(record.target).parent_path().string()})
      .check_name_is_free(container.spec.name);
}

Result<std::string> real_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return make_error(error.value(), "find", path);
  return real.string();
}

Container container_at(const std::string& directory, const std::string& id) {
  Container container;
  container.directory = directory;
  container.spec.id = container.spec.name = id;
  const std::string path = container.file("container.json");
  if (const auto text = common::read_file(path); text.has_value()) {
    if (auto spec = parse_container_spec(*text, path); spec.has_value()) {
      container.spec = std::move(*spec);
    }
  }
  return container;
}

// Whichever of the directories is there.
Container container_of(const MigrationRecord& record) {
  for (const auto& directory : {record.at_source(), record.at_target(), record.incoming()}) {
    if (is_directory(directory)) return container_at(directory, record.id);
  }
  return container_at(record.left_behind(), record.id);
}

void settle(const MigrationRecord& record, const std::string& program) {
  LiveMigration steps(record, container_of(record).spec, program, true);
  (void)settle_migration(steps, is_committed(record));
}

}  // namespace

Result<Migrated> migrate(const Container& container, const StateDir& target,
                         const MigrateOptions& options) {
  const auto begin = Clock::now();
  // Nothing is plugged in meanwhile, and nothing written into the description.
  ASSIGN_OR_RETURN(const UniqueFd unchanged, ContainerStore::lock_for_change(container));
  auto lock = take_lock(container.file(kMigrationLock));
  if (lock.has_error()) {
    if (lock.error().code != std::errc::operation_would_block) return lock.error();
    return make_error(EBUSY, "migrate", container.spec.name, "it is on its way already");
  }
  ASSIGN_OR_RETURN(const std::string here, real_path(container.directory));
  MigrationRecord record;
  record.id = container.spec.id;
  record.source = fs::path(here).parent_path().string();
  ASSIGN_OR_RETURN(record.target, real_path(target.containers()));
  const Container now = container_at(record.at_source(), record.id);
  RETURN_IF_ERROR(check_source(now));
  RETURN_IF_ERROR(check_target(now, record));
  const auto succeed = [&now, &options] {
    const auto record_now = read_record(now.directory);  // there is none before and behind it all
    if (record_now.has_value() && *record_now) settle(**record_now, options.program);
  };
  ASSIGN_OR_RETURN(Guardian guardian, Guardian::start(succeed));
  LiveMigration steps(record, now.spec, options.program, false);
  const MigrationEnd end = run_migration(steps, options.pace);
  guardian.dismiss();
  if (end.status.has_error()) return named(end.status.error(), now);
  Migrated moved;
  moved.downtime = steps.downtime();
  moved.total = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  return moved;
}

void settle_migration_of(const std::string& directory, const std::string& program) {
  if (::access((directory + "/" + kMigrationRecord).c_str(), F_OK) != 0) return;
  const auto lock = take_lock(directory + "/" + kMigrationLock);
  if (lock.has_error()) return;
  const auto record = read_record(directory);  // anew: it may have been settled meanwhile
  if (record.has_value() && *record) settle(**record, program);
}

void settle_migrations(const StateDir& state, const std::string& program) {
  std::error_code error;
  for (fs::directory_iterator it(state.containers(), error), end; !error && it != end;
       it.increment(error)) {
    const std::string path = it->path().string();
    if (is_directory(path)) settle_migration_of(path, program);
  }
}

Result<Container> find_incoming(const StateDir& state, const std::string& wanted) {
  std::error_code error;
  for (fs::directory_iterator it(state.containers(), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kIncoming) || !is_directory(it->path().string())) continue;
    const std::string id = name.substr(kIncoming.size());
    Container container = container_at(it->path().string(), id);
    if (container.spec.name == wanted || (!wanted.empty() && id.starts_with(wanted))) {
      return container;
    }
  }
  return make_error(ENOENT, "find container", "'" + wanted + "'");
}

}  // namespace vch
