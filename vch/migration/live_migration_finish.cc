// What comes behind the point of no return.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "vch/machine/launch.h"
#include "vch/machine/life.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine.h"
#include "vch/machine/volume_store.h"
#include "vch/migration/live_migration.h"
#include "vch/migration/target_directory.h"
#include "vch/network/qemu_network.h"
#include "vch/shim/shim.h"

namespace vch {

using common::make_error;
using common::Status;
using Json = nlohmann::json;

namespace {

constexpr int kTimeoutMs = 10000;

// Of the state directory that has this directory of containers: state_dir.h.
std::string volumes_of(const std::string& containers) {
  return containers.substr(0, containers.rfind('/')) + "/volumes/";
}

}  // namespace

Status LiveMigration::finish() {
  if (!no_shim_ && is_directory(source_.directory)) {
    ASSIGN_OR_RETURN(no_shim_, hold_shim_off(source_));
  }
  RETURN_IF_ERROR(leave_link(record_));
  no_shim_.reset();
  const Container behind{source_.spec, record_.left_behind()};
  if (is_directory(behind.directory)) {
    RETURN_IF_ERROR(end_succeeded_qemu(behind));
    std::error_code error;
    std::filesystem::remove_all(behind.directory, error);
    if (error) return make_error(error.value(), "remove", behind.directory);
  }
  leave_no_anonymous_volumes();
  if (machine_running(target_)) take_possession();
  monitor_.reset();
  if (is_link(record_.incoming())) RETURN_IF_ERROR(remove_file(record_.incoming()));
  RETURN_IF_ERROR(remove_file(target_.file(kMigrationRecord)));
  // It sets the clock, which stood still.
  if (machine_running(target_)) complain(ensure_shim(target_, program_));
  return {};
}

// One that was made for this container goes where it goes, unless another names it by now.
void LiveMigration::leave_no_anonymous_volumes() const {
  const VolumeStore store(StateDir{std::filesystem::path(record_.source).parent_path().string()});
  for (const VolumeMount& mount : source_.spec.volumes) {
    if (!mount.anonymous || mount.volume.empty()) continue;
    const auto users = store.users(mount.volume);
    if (users.has_error() || !users->empty()) continue;
    std::error_code ignored;
    std::filesystem::remove_all(volumes_of(record_.source) + mount.volume, ignored);
  }
}

// What the source's QEMU had until it ended.
void LiveMigration::take_possession() {
  if (!monitor_) {
    auto qmp = Qmp::open(target_.directory, kTimeoutMs);
    if (qmp.has_error()) return complain(qmp.error());
    monitor_.emplace(std::move(*qmp));
  }
  take_volumes(*monitor_);
  take_ports(*monitor_);
  const Json rounds = {{"initial", 50}, {"max", 550}, {"rounds", 5}, {"step", 100}};
  complain(monitor_->execute("announce-self", kTimeoutMs, rounds.dump()));
}

void LiveMigration::take_volumes(Qmp& qmp) {
  for (const VolumeMount& mount : target_.spec.volumes) {
    if (mount.is_tmpfs()) continue;
    const std::string path = volumes_of(record_.target) + mount.volume + "/lock";
    const auto lock = take_lock(path, mount.read_only ? LockKind::kShared : LockKind::kExclusive);
    if (lock.has_error()) {
      complain(lock.error());
      continue;
    }
    complain(qmp.give("lock-" + mount.serial, lock->get(), kTimeoutMs));
  }
}

void LiveMigration::take_ports(Qmp& qmp) {
  const auto life = read_life(target_);
  if (life.has_error() || !*life) return;
  const auto& cards = target_.spec.networks;
  const auto user = std::find_if(cards.begin(), cards.end(),
                                 [](const NetworkAttachment& card) { return card.kind == "user"; });
  if (user == cards.end()) return;
  for (const PublishedPort& port : (*life)->ports) {
    const std::string command = "hostfwd_add " + netdev_id(*user) + " " + forward_rule(port);
    const auto said =
        qmp.ask("human-monitor-command", kTimeoutMs, Json{{"command-line", command}}.dump());
    if (said.has_error()) {
      complain(said.error());
      continue;
    }
    const Json words = Json::parse(*said, nullptr, false);
    if (!words.is_string() || words.get<std::string>().empty()) continue;
    complain(make_error(EADDRINUSE, "publish port", host_side(port),
                        common::escape(words.get<std::string>())));
  }
}

}  // namespace vch
