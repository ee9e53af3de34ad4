#include "vch/machine/machine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "common/io.h"
#include "vch/machine/life.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine_wait.h"
#include "vch/machine/program.h"
#include "vch/machine/qemu_command.h"
#include "vch/machine/qemu_process.h"
#include "vch/machine/qmp.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kStartTimeoutMs = 60000;  // a host that swaps or thrashes; QEMU takes 0.05 s
constexpr int kQuitTimeoutMs = 2000;
constexpr int kKillTimeoutMs = 5000;
constexpr size_t kMaxPidFile = 64;

Status check_spec(const Container& container) {
  const ContainerSpec& spec = container.spec;
  if (spec.iso.empty() || spec.memory == 0 || spec.cpus == 0) {
    return make_error(EBADMSG, "start", spec.name,
                      "container.json lacks iso, memory or cpus; `vch rm` removes the container");
  }
  if (::access(spec.iso.c_str(), R_OK) != 0) {
    return common::errno_error("read the bootstrap ISO", spec.iso);
  }
  return {};
}

std::string user_of_volume(const Container& wanting, const VolumeMount& mount,
                           const StateDir& state) {
  const auto containers = ContainerStore(state).list();
  if (containers.has_value()) {
    for (const Container& other : *containers) {
      const auto& mounts = other.spec.volumes;
      const bool names_it =
          std::any_of(mounts.begin(), mounts.end(),
                      [&mount](const VolumeMount& m) { return m.volume == mount.volume; });
      if (names_it && other.spec.id != wanting.spec.id && machine_running(other)) {
        return "container " + other.spec.name;
      }
    }
  }
  return "another machine";
}

// Writers have a volume alone: two kernels with one ext4 would ruin it. Readers share it.
Result<UniqueFd> lock_volume(const Container& container, const VolumeMount& mount,
                             const Volume& volume, const StateDir& state) {
  auto lock = take_lock(volume.lock, mount.read_only ? LockKind::kShared : LockKind::kExclusive);
  if (lock.has_value() || lock.error().code != std::errc::operation_would_block) return lock;
  const auto& mounts = container.spec.volumes;
  if (std::count_if(mounts.begin(), mounts.end(),
                    [&mount](const VolumeMount& m) { return m.volume == mount.volume; }) > 1) {
    return make_error(EINVAL, "mount volume", mount.volume, "given twice; that needs :ro for both");
  }
  return make_error(EBUSY, "mount volume", mount.volume,
                    "in use by " + user_of_volume(container, mount, state));
}

// The last of QEMU's words since it was started, without its own name in front.
std::string words_of_qemu(const Container& container, off_t from) {
  std::string text;
  if (const auto log = common::read_file(container.file("qemu.log")); log.has_value()) {
    text = last_line(std::string_view(*log).substr(std::min<size_t>(log->size(), size_t(from))));
  }
  const std::string prefix = std::string(kQemu) + ": ";
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text.empty() ? "it ended without a word; see " + container.file("qemu.log") : text;
}

std::optional<int> read_pid(const Container& container) {
  const auto text = common::read_file(container.file("qemu.pid"), kMaxPidFile);
  if (text.has_error()) return std::nullopt;
  int pid = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), pid);
  if (parsed.ec != std::errc() || pid <= 1) return std::nullopt;
  return pid;
}

// A pid from a file may be another's by now. The descriptor pins the process first, then it is
// looked at, then signalled: never a stranger.
void kill_holder(const Container& container) {
  const auto pid = read_pid(container);
  if (!pid) return;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  if (!process || !holds_lock(*pid, container.file("machine.lock"))) return;
  ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

Status ask_to_quit(const Container& container) {
  ASSIGN_OR_RETURN(UniqueFd socket, connect_unix(container.directory, "qmp.sock"));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::greet(std::move(socket), kQuitTimeoutMs));
  RETURN_IF_ERROR(qmp.execute("qmp_capabilities", kQuitTimeoutMs));
  return qmp.execute("quit", kQuitTimeoutMs);
}

// QEMU greets before it has made its devices, but answers its first command after.
Status wait_until_up(UniqueFd monitor) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::greet(std::move(monitor), kStartTimeoutMs));
  return qmp.execute("qmp_capabilities", kStartTimeoutMs);
}

}  // namespace

// Nobody writes to the journal now: we hold the machine's lock.
static Status begin_life(const Container& container, bool kvm) {
  Life life;
  struct stat journal {};
  if (::stat(container.file("journal").c_str(), &journal) == 0) {
    life.journal_offset = static_cast<uint64_t>(journal.st_size);
  }
  life.accelerator = kvm ? "kvm" : "tcg";
  return write_life(container, life);
}

Status start_machine(const Container& container, const StateDir& state, bool kvm) {
  const std::string& name = container.spec.name;
  RETURN_IF_ERROR(check_spec(container));
  QemuInputs inputs;
  inputs.kvm = kvm;
  ASSIGN_OR_RETURN(inputs.program, find_program(kQemu));
  std::vector<UniqueFd> inherited;
  auto alive = take_lock(container.file("machine.lock"));
  if (alive.has_error()) {
    if (alive.error().code != std::errc::operation_would_block) return alive.error();
    return make_error(EBUSY, "start", name, "it runs already");
  }
  inherited.push_back(std::move(*alive));
  for (const VolumeMount& mount : container.spec.volumes) {
    ASSIGN_OR_RETURN(const Volume volume, VolumeStore(state).find(mount.volume));
    ASSIGN_OR_RETURN(auto lock, lock_volume(container, mount, volume, state));
    inherited.push_back(std::move(lock));
    inputs.volume_disks.push_back(volume.disk);
  }
  RETURN_IF_ERROR(begin_life(container, kvm));
  ASSIGN_OR_RETURN(auto listening, listen_unix(container.directory, "qmp.sock"));
  // Queued until QEMU serves its monitor, and reset should QEMU end before.
  ASSIGN_OR_RETURN(auto monitor, connect_unix(container.directory, "qmp.sock"));
  inputs.qmp_socket = listening.get();
  inherited.push_back(std::move(listening));
  ASSIGN_OR_RETURN(const UniqueFd log, common::open_file(container.file("qemu.log"),
                                                         O_WRONLY | O_CREAT | O_APPEND, 0600));
  const off_t log_end = ::lseek(log.get(), 0, SEEK_END);
  RETURN_IF_ERROR(
      spawn_qemu(qemu_command(container.spec, inputs), container.directory, log.get(), inherited));
  inherited.clear();  // QEMU's alone from here on.
  const Status up = wait_until_up(std::move(monitor));
  if (up.has_value()) return {};
  const bool hangs = up.error().code == std::errc::timed_out;
  if (hangs) kill_holder(container);
  // Its sockets close before its locks do, and the caller may want to remove the container.
  (void)wait_for_machine_end(container, kKillTimeoutMs);
  if (hangs) {
    return make_error(ETIMEDOUT, "start", name, "QEMU did not come up within 60 s");
  }
  return make_error(0, "start", name, "QEMU: " + words_of_qemu(container, log_end));
}

uint64_t host_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool machine_running(const Container& container) {
  return is_locked(container.file("machine.lock"));
}

Status kill_machine(const Container& container) {
  if (!machine_running(container)) return {};
  // Either way the lock tells: a QEMU that ends need not answer.
  if (ask_to_quit(container).has_value() &&
      wait_for_machine_end(container, kQuitTimeoutMs).has_value()) {
    return {};
  }
  kill_holder(container);
  return wait_for_machine_end(container, kKillTimeoutMs);
}

std::optional<int> machine_pid(const Container& container) {
  const auto pid = read_pid(container);
  if (!pid || !holds_lock(*pid, container.file("machine.lock"))) return std::nullopt;
  return pid;
}

}  // namespace vch
