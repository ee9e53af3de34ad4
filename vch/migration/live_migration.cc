#include "vch/migration/live_migration.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "vch/machine/launch.h"
#include "vch/machine/life.h"
#include "vch/machine/link_pipe.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_logs.h"
#include "vch/machine/qemu_command.h"
#include "vch/migration/drain_link.h"
#include "vch/migration/source_machine.h"
#include "vch/migration/target_command.h"
#include "vch/migration/target_directory.h"
#include "vch/migration/transfer.h"
#include "vch/network/qemu_network.h"
#include "vch/network/tap.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr auto kLoadTimeout = std::chrono::seconds(60);
constexpr auto kPause = std::chrono::milliseconds(1);

Json capability(const char* name) { return {{"capability", name}, {"state", true}}; }

Status run(Qmp& qmp, const char* command, const Json& arguments) {
  return qmp.execute(command, kTimeoutMs, arguments.dump());
}

struct Taps {
  std::vector<UniqueFd> opened;
  std::map<std::string, int> numbers;
};

Result<Taps> open_taps(const ContainerSpec& spec) {
  Taps taps;
  for (const NetworkAttachment& card : spec.networks) {
    if (card.kind != "bridge") continue;
    ASSIGN_OR_RETURN(auto tap, open_tap(card.bridge));
    taps.numbers[netdev_id(card)] = tap.get();
    taps.opened.push_back(std::move(tap));
  }
  return taps;
}

// Cards that came while it ran are in the slot for such.
void add_cards(const SourceMachine& machine, const Taps& taps, std::vector<std::string>& words) {
  for (const NetworkAttachment& card : machine.cards) {
    const auto tap = taps.numbers.find(netdev_id(card));
    auto more = qemu_network({card}, {}, {tap == taps.numbers.end() ? -1 : tap->second});
    more.back() += std::string(",bus=") + kNetworkSlot + ",addr=0";
    words.insert(words.end(), more.begin(), more.end());
  }
}

std::map<std::string, std::string> disks_at(const MigrationRecord& record,
                                            const ContainerSpec& spec) {
  std::map<std::string, std::string> disks;
  const std::string volumes =
      record.target.substr(0, record.target.rfind('/')) + "/volumes/";  // state_dir.h
  for (const VolumeMount& mount : spec.volumes) {
    if (mount.is_tmpfs()) continue;
    const std::string disk = volumes + mount.volume + "/disk.ext4";
    disks[mount.serial] = disks["hot-" + mount.serial] = disk;
  }
  return disks;
}

}  // namespace

LiveMigration::LiveMigration(MigrationRecord record, ContainerSpec spec, std::string program,
                             bool successor)
    : record_(std::move(record)),
      source_{spec, record_.at_source()},
      target_{std::move(spec), is_committed(record_) ? record_.at_target() : record_.incoming()},
      program_(std::move(program)),
      successor_(successor) {}

Status LiveMigration::begin() {
  RETURN_IF_ERROR(make_incoming(source_, record_));
  RETURN_IF_ERROR(launch_target());
  return start_transfer();
}

Status LiveMigration::launch_target() {
  ASSIGN_OR_RETURN(SourceMachine machine, describe_machine(source_));
  std::vector<UniqueFd> inherited;
  ASSIGN_OR_RETURN(auto alive, take_lock(target_.file("machine.lock")));
  inherited.push_back(std::move(alive));
  RETURN_IF_ERROR(make_link_pipe(target_));
  ASSIGN_OR_RETURN(Taps taps, open_taps(source_.spec));
  // From here on the journal stays in its file: see machine_logs.h.
  ASSIGN_OR_RETURN(const LogChanges logs, bring_up_to_date(source_, target_));
  journal_ = logs.journal;
  ASSIGN_OR_RETURN(auto sockets, make_monitor(target_));
  TargetCommandInputs inputs;
  inputs.source = std::move(machine.command);
  inputs.machine_type = machine.type;
  inputs.devices = std::move(machine.devices);
  add_cards(machine, taps, machine.plugged);
  inputs.plugged = std::move(machine.plugged);
  inputs.journal = journal_file_name(journal_);
  inputs.qmp_socket = sockets.listening.get();
  inputs.disks = disks_at(record_, source_.spec);
  inputs.taps = std::move(taps.numbers);
  ASSIGN_OR_RETURN(const auto command, target_command(inputs));
  for (UniqueFd& tap : taps.opened) inherited.push_back(std::move(tap));
  ASSIGN_OR_RETURN(Qmp qmp,
                   launch_qemu(target_, command, std::move(inherited), std::move(sockets)));
  monitor_.emplace(std::move(qmp));
  return {};
}

// Over a pair of sockets: there is no name by which somebody else could listen or connect.
Status LiveMigration::start_transfer() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return errno_error("socketpair");
  }
  const UniqueFd sending(ends[0]), receiving(ends[1]);
  // Its images are locked no sooner than it runs.
  RETURN_IF_ERROR(run(*monitor_, "migrate-set-capabilities",
                      {{"capabilities", {capability("late-block-activate")}}}));
  RETURN_IF_ERROR(monitor_->give(kMigrationSocket, receiving.get(), kTimeoutMs));
  RETURN_IF_ERROR(
      run(*monitor_, "migrate-incoming", {{"uri", std::string("fd:") + kMigrationSocket}}));
  ASSIGN_OR_RETURN(const auto life, read_life(source_));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(source_.directory, kTimeoutMs));
  RETURN_IF_ERROR(qmp.give(kMigrationSocket, sending.get(), kTimeoutMs));
  began_ = Clock::now();
  ASSIGN_OR_RETURN(downtime_, begin_transfer(qmp, !life || life->accelerator != "kvm"));
  return {};
}

// Asked anew each time: QEMU's monitor has one client, and the shim and other commands want it too.
Result<Transfer> LiveMigration::look() {
  const auto ended = [this](const char* which) {
    return make_error(0, "migrate", source_.spec.name, std::string(which) + " machine has ended");
  };
  if (!machine_running(source_)) return ended("its");
  if (!machine_running(target_)) return ended("the target's");
  MigrationProgress now;
  {
    auto qmp = Qmp::open(source_.directory, kTimeoutMs);
    if (qmp.has_error()) return machine_running(source_) ? qmp.error() : ended("its");
    ASSIGN_OR_RETURN(now, migration_progress(*qmp));
  }
  if (now.status == "completed") {
    stopped_ = began_ + std::chrono::milliseconds(now.total_ms - now.downtime_ms);
    return Transfer{true, 1, 1};
  }
  if (now.status == "failed" || now.status == "cancelled" || now.status == "cancelling" ||
      now.status == "none") {
    return make_error(0, "migrate", source_.spec.name,
                      "QEMU: " + (now.error.empty() ? "the transfer " + now.status : now.error));
  }
  if (now.status == "pre-switchover") RETURN_IF_ERROR(let_state_go());
  return Transfer{false, now.transferred, now.transferred + now.remaining};
}

// The source stands still, and its devices are as they will arrive.
Status LiveMigration::let_state_go() {
  if (no_shim_) return {};  // It is on its way.
  ASSIGN_OR_RETURN(no_shim_, hold_shim_off(source_));
  RETURN_IF_ERROR(drain_link(source_));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(source_.directory, kTimeoutMs));
  return run(qmp, "migrate-continue", {{"state", "pre-switchover"}});
}

// The source has sent its last byte; the target may have some to read.
Status LiveMigration::await_loaded() {
  const auto deadline = Clock::now() + kLoadTimeout;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string state, run_state(*monitor_));
    if (state == "paused") return {};
    if (state != "inmigrate") {
      return make_error(0, "migrate", source_.spec.name, "the target's machine is " + state);
    }
    if (Clock::now() > deadline) {
      return make_error(ETIMEDOUT, "migrate", source_.spec.name, "the target does not come up");
    }
    std::this_thread::sleep_for(kPause);
  }
}

Status LiveMigration::hand_over() {
  RETURN_IF_ERROR(await_loaded());
  if (find_suspension(source_)) {
    return make_error(ENOSPC, "migrate", source_.spec.name, "there is no room for its journal");
  }
  ASSIGN_OR_RETURN(const LogChanges changes, bring_up_to_date(source_, target_));
  if (changes.journal != journal_) {
    return make_error(EBUSY, "migrate", source_.spec.name, "its journal is in another file by now");
  }
  if (!changes.console) return {};
  const Json backend = {{"type", "file"}, {"data", {{"out", "console.log"}, {"append", true}}}};
  return run(*monitor_, "chardev-change", {{"id", "console"}, {"backend", backend}});
}

Status LiveMigration::commit() {
  const ContainerStore store(StateDir{record_.target.substr(0, record_.target.rfind('/'))});
  ASSIGN_OR_RETURN(const auto names, store.lock_names());
  RETURN_IF_ERROR(store.check_name_is_free(target_.spec.name));
  const std::string from = record_.incoming(), to = record_.at_target();
  if (is_link(to)) {
    // It was here before, and clients still come by that name.
    RETURN_IF_ERROR(exchange(from, to));
  } else if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    return errno_error("create container directory", to);
  }
  target_.directory = to;
  return {};
}

Status LiveMigration::run_target() {
  const auto ended = [this] {
    return make_error(ENOTCONN, "migrate", target_.spec.name, "the target's machine has ended");
  };
  if (!machine_running(target_)) return ended();
  if (!monitor_) {
    auto qmp = Qmp::open(target_.directory, kTimeoutMs);
    if (qmp.has_error()) return machine_running(target_) ? qmp.error() : ended();
    monitor_.emplace(std::move(*qmp));
  }
  Status runs = monitor_->execute("cont", kTimeoutMs);
  if (runs.has_error()) return machine_running(target_) ? runs : Status(ended());
  downtime_ += std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - stopped_);
  return {};
}

void LiveMigration::complain(const Status& status) const {
  if (status.has_value() || successor_) return;
  std::fprintf(stderr, "vch: %s\n", status.error().message().c_str());
}

}  // namespace vch
