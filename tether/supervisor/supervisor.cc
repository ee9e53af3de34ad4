#include "tether/supervisor/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/io.h"
#include "tether/boot/device_rules.h"
#include "tether/boot/watchdog.h"
#include "tether/supervisor/clock.h"
#include "tether/supervisor/faults.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::Stage;

constexpr int kLinkPortTimeoutMs = 10000;
constexpr rlim_t kOpenFiles = 8192;
constexpr uint64_t kRingShare = 8;  // of the memory: what all rings together take at most

}  // namespace

void Supervisor::event(protocol::JournalRecord record) {
  journal_.write(record);
  watch_journal();
  LinkHeader header;
  header.type = LinkType::kEvent;
  header.session = record.session;
  header.stream = static_cast<uint32_t>(record.kind) | uint32_t{record.stage} << 16U;
  header.value = record.value;
  header.offset = ++event_number_;
  header.writer = {now_ns(CLOCK_REALTIME), record.extra};
  if (guestinfo_) {
    guestinfo_state_.note(record, header.writer[0]);
    pump_guestinfo();
  }
  const std::string_view text = record.payload.substr(0, EventLog::kMaxText);
  events_.add(header, text);
  tell(header, text);
}

void Supervisor::fail(const StageError& error) {
  protocol::JournalRecord record;
  record.kind = EventKind::kFailure;
  record.stage = static_cast<uint16_t>(error.stage);
  record.value = static_cast<uint32_t>(error.error.code.value());
  record.extra =
      static_cast<uint32_t>(protocol::exit_code_for(error.stage, error.error.code.value()));
  std::string text = error.error.object;
  if (!error.error.detail.empty()) text += " (" + error.error.detail + ")";
  record.payload = std::string_view(text).substr(0, 512);
  event(record);
}

void Supervisor::enter(Stage stage) {
  protocol::JournalRecord record;
  record.kind = EventKind::kStage;
  record.stage = static_cast<uint16_t>(stage);
  event(record);
}

StageResult<void> Supervisor::start() {
  enter(Stage::kReadConfig);
  auto boot = read_config();
  if (boot.has_error()) return boot.error();
  if (boot->has_guestinfo) start_guestinfo();
  if (auto limits = limit_container(boot->config.resources()); limits.has_error()) return limits;
  become_unstoppable();
  auto group = common::open_file(kContainerCgroup, O_RDONLY | O_DIRECTORY);
  if (group.has_error()) return StageError{Stage::kCgroup, group.error()};
  if (auto status = prepare(std::move(*boot), std::move(*group)); status.has_error()) {
    return StageError{Stage::kInternal, status.error()};
  }
  // Whoever is connected to the link may rely on it.
  use_power_buttons(open_power_buttons());
  tell_repairs();
  enter(Stage::kStartLink);
  auto devices = open_link_devices(boot_.config, kLinkPortTimeoutMs);
  if (devices.has_error()) return StageError{Stage::kStartLink, devices.error()};
  link_devices_ = std::move(*devices);
  // The container waits for somebody: the link process shakes hands while the disks are mounted.
  // Else the container goes first, see start_primary().
  if (boot_.config.primary().hold_until_attach()) start_link();
  if (auto network = start_network(); network.has_error()) return network;
  enter(Stage::kMountRoot);
  if (auto root = assemble_root(boot_.config); root.has_error()) return root;
  await_guestinfo();  // After that nobody gets an I/O port any more.
  if (auto guarded = guard_machine(); guarded.has_error()) {
    return StageError{Stage::kCgroup, guarded.error()};
  }
  watch_space();
  // Before there is somebody who could put another node in its place, and after all that may take
  // its time.
  use_watchdog(open_watchdog());
  enter(Stage::kNamespaces);
  if (auto status = start_primary(); status.has_error()) {
    return StageError{Stage::kStdio, status.error()};
  }
  return {};
}

// What even a privileged container does not get of its machine.
common::Status Supervisor::guard_machine() {
  RETURN_IF_ERROR(limit_devices(boot_.config.sandbox().privileged()));
  return lock_kernel();
}

void Supervisor::become_unstoppable() {
  ::reboot(RB_DISABLE_CAD);
  const sigset_t all = all_but_faults();
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  // A session takes up to six descriptors here.
  const rlimit files{kOpenFiles, kOpenFiles};
  ::setrlimit(RLIMIT_NOFILE, &files);
}

common::Status Supervisor::prepare(BootConfig boot, common::UniqueFd container_cgroup) {
  boot_ = std::move(boot);
  container_cgroup_ = std::move(container_cgroup);
  const auto& policy = boot_.config.restart();
  set_restarts(static_cast<uint32_t>(policy.kind()), policy.max_retries());
  journal_.set_secret(boot_.config.journal().check_secret());
  limit_rings();
  RETURN_IF_ERROR(sessions_.open());
  RETURN_IF_ERROR(prepare_loop());
  watch_memory();
  watch_pressure();
  open_stats();
  watch_pids();
  return write_specs();
}

void Supervisor::limit_rings() {
  rings_.limit = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                 static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) / kRingShare;
}

}  // namespace tether
