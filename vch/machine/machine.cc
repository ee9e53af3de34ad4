#include "vch/machine/machine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "common/io.h"
#include "protocol/config.h"
#include "vch/machine/container_journal.h"
#include "vch/machine/crash.h"
#include "vch/machine/journal_past.h"
#include "vch/machine/launch.h"
#include "vch/machine/life.h"
#include "vch/machine/link_pipe.h"
#include "vch/machine/link_tcp.h"
#include "vch/machine/lock.h"
#include "vch/machine/machine_wait.h"
#include "vch/machine/program.h"
#include "vch/machine/qemu_command.h"
#include "vch/machine/qemu_process.h"
#include "vch/machine/qmp.h"
#include "vch/machine/volume_use.h"
#include "vch/machine/vsock_device.h"
#include "vch/network/host_ports.h"
#include "vch/network/tap.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kStartTimeoutMs = 60000;  // a host that swaps or thrashes; QEMU takes 0.05 s
constexpr int kPressTimeoutMs = 500;    // each: the greeting, the two answers are at once
constexpr int kQuitTimeoutMs = 2000;
constexpr int kKillTimeoutMs = 5000;
constexpr size_t kMaxPidFile = 64;
constexpr size_t kMostRepair = 1024;

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

// A program's output, and where this life's begins.
struct Log {
  std::string path;
  UniqueFd fd;
  off_t begin = 0;
};

Result<Log> open_log(const Container& container, const char* name) {
  Log log;
  log.path = container.file(name);
  ASSIGN_OR_RETURN(log.fd, common::open_file(log.path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  log.begin = ::lseek(log.fd.get(), 0, SEEK_END);
  return log;
}

// The program's last words since it was started, without its own name in front.
std::string last_words(const Log& log, const std::string& program) {
  std::string text;
  if (const auto all = common::read_file(log.path); all.has_value()) {
    text =
        last_line(std::string_view(*all).substr(std::min<size_t>(all->size(), size_t(log.begin))));
  }
  const std::string prefix = program + ": ";
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text.empty() ? "it ended without a word; see " + log.path : text;
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
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kQuitTimeoutMs));
  return qmp.execute("quit", kQuitTimeoutMs);
}

// QEMU greets before it has made its devices, but answers its first command after.
Result<Qmp> wait_until_up(UniqueFd monitor) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::greet(std::move(monitor), kStartTimeoutMs));
  RETURN_IF_ERROR(qmp.execute("qmp_capabilities", kStartTimeoutMs));
  return qmp;
}

}  // namespace

// Nobody writes to the journal now: we hold the machine's lock.
static Status begin_life(const Container& container, QemuInputs& inputs) {
  Life life;
  ASSIGN_OR_RETURN(const auto journal, whole_journal(container));
  RETURN_IF_ERROR(cut_torn_tail(container.directory, journal.secret));
  ASSIGN_OR_RETURN(life.journal, journal_end(container.directory));
  inputs.journal = journal_file_name(life.journal.file);
  life.accelerator = inputs.kvm ? "kvm" : "tcg";
  life.vsock_cid = inputs.vsock_cid;
  life.ports = inputs.ports;
  const auto before = read_life(container);  // One that is damaged is written anew.
  if (before.has_value() && *before && (*before)->again) life.crashes = (*before)->crashes;
  struct stat log {};
  if (::stat(container.file("qemu.log").c_str(), &log) == 0)
    life.qemu_log = static_cast<uint64_t>(log.st_size);
  RETURN_IF_ERROR(forget_past(container));
  return write_life(container, life);
}

static Status add_volumes(const Container& container, const StateDir& state, QemuInputs& inputs,
                          std::vector<UniqueFd>& inherited, std::vector<std::string>& repairs) {
  const auto note = [&repairs](std::string repair) {
    if (!repair.empty()) repairs.push_back(std::move(repair));
  };
  for (const VolumeMount& mount : container.spec.volumes) {
    inputs.volume_disks.emplace_back();
    if (mount.is_tmpfs()) continue;
    ASSIGN_OR_RETURN(auto volume, take_volume(container, mount, state));
    inherited.push_back(std::move(volume.lock));
    inputs.volume_disks.back() = std::move(volume.disk);
    note(std::move(volume.repair));
  }
  ASSIGN_OR_RETURN(std::string repair, check_root_disk(container));
  note(std::move(repair));
  return {};
}

static Status add_network(const Container& container, QemuInputs& inputs,
                          std::vector<UniqueFd>& inherited) {
  for (const NetworkAttachment& network : container.spec.networks) {
    inputs.taps.push_back(-1);
    if (network.kind != "bridge") continue;
    ASSIGN_OR_RETURN(auto tap, open_tap(network.bridge));
    inputs.taps.back() = tap.get();
    inherited.push_back(std::move(tap));
  }
  inputs.ports = container.spec.ports;
  return choose_host_ports(inputs.ports);
}

// QEMU's vsocket, and what else must run for it; `machine_lock` is held by all of it.
static Status add_vsock(const Container& container, int machine_lock, QemuInputs& inputs,
                        std::vector<UniqueFd>& inherited, std::optional<Companion>& companion) {
  ASSIGN_OR_RETURN(auto device, open_vsock_device(container.spec.id));
  inputs.vsock = device.fd.get();
  inputs.vsock_cid = device.cid;
  inherited.push_back(std::move(device.fd));
  if (device.program.empty()) return {};
  // Those of a life before this one would look as if somebody listened.
  for (const char* socket : {kVsockSocket, kVsockDeviceSocket}) {
    if (::unlink(container.file(socket).c_str()) != 0 && errno != ENOENT) {
      return common::errno_error("remove", container.file(socket));
    }
  }
  companion.emplace();
  companion->argv = vsock_program_command(device.program);
  companion->socket = kVsockDeviceSocket;
  companion->connection = inputs.vsock;
  companion->kept = machine_lock;
  return {};
}

// Why QEMU could not be executed; with a companion that ended, its words.
static Status spawn(const Container& container, const std::vector<std::string>& command,
                    const Log& log, const std::vector<UniqueFd>& inherited,
                    std::optional<Companion>& companion) {
  if (!companion) return spawn_qemu(command, container.directory, log.fd.get(), inherited);
  ASSIGN_OR_RETURN(const Log its_log, open_log(container, "vsock.log"));
  companion->log = its_log.fd.get();
  const Status spawned =
      spawn_qemu(command, container.directory, log.fd.get(), inherited, &*companion);
  if (spawned.has_value() || spawned.error().code != std::errc::no_child_process) return spawned;
  return make_error(0, "start", container.spec.name,
                    companion->argv[0] + ": " + last_words(its_log, companion->argv[0]));
}

Result<MonitorSockets> make_monitor(const Container& container) {
  MonitorSockets sockets;
  ASSIGN_OR_RETURN(sockets.listening, listen_unix(container.directory, "qmp.sock"));
  // Queued until QEMU serves its monitor, and reset should QEMU end before.
  ASSIGN_OR_RETURN(sockets.client, connect_unix(container.directory, "qmp.sock"));
  return sockets;
}

Result<Qmp> launch_qemu(const Container& container, const std::vector<std::string>& command,
                        std::vector<UniqueFd> inherited, MonitorSockets monitor,
                        std::optional<Companion> companion) {
  inherited.push_back(std::move(monitor.listening));
  ASSIGN_OR_RETURN(const Log log, open_log(container, "qemu.log"));
  const Status spawned = spawn(container, command, log, inherited, companion);
  inherited.clear();  // QEMU's alone from here on.
  if (spawned.has_error()) {
    // What said so ends now, and the caller may want to remove the container.
    (void)wait_for_machine_end(container, kKillTimeoutMs);
    return spawned.error();
  }
  auto up = wait_until_up(std::move(monitor.client));
  if (up.has_value()) return up;
  const bool hangs = up.error().code == std::errc::timed_out;
  if (hangs) kill_holder(container);
  // Its sockets close before its locks do, and the caller may want to remove the container.
  (void)wait_for_machine_end(container, kKillTimeoutMs);
  if (hangs) {
    return make_error(ETIMEDOUT, "start", container.spec.name, "QEMU did not come up within 60 s");
  }
  return make_error(0, "start", container.spec.name, "QEMU: " + last_words(log, kQemu));
}

// The file that QEMU gives to the agent: the container's own, or one for this life. A message
// behind another one is merged into it, so nothing needs to be understood here.
static Result<std::string> write_boot_config(const Container& container,
                                             const LaunchOptions& options,
                                             const std::vector<std::string>& repairs) {
  protocol::pb::ContainerVm more;
  for (const std::string& repair : repairs) more.add_repairs(repair.substr(0, kMostRepair));
  if (options.hold_until_attach) more.mutable_primary()->set_hold_until_attach(true);
  if (options.rows != 0 && options.columns != 0) {
    more.mutable_primary()->mutable_window()->set_rows(options.rows);
    more.mutable_primary()->mutable_window()->set_columns(options.columns);
  }
  if (!more.has_primary() && repairs.empty()) return std::string("config.pb");
  ASSIGN_OR_RETURN(std::string config,
                   common::read_file(container.file("config.pb"), protocol::kMaxConfigSize));
  if (config.empty()) return std::string("config.pb");
  more.AppendToString(&config);
  RETURN_IF_ERROR(common::write_file_atomically(container.file("boot.pb"), config, 0600));
  return std::string("boot.pb");
}

Status start_machine(const Container& container, const StateDir& state, bool kvm,
                     const LaunchOptions& options) {
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
  std::vector<std::string> repairs;
  RETURN_IF_ERROR(add_volumes(container, state, inputs, inherited, repairs));
  RETURN_IF_ERROR(add_network(container, inputs, inherited));
  std::optional<Companion> companion;
  if (container.spec.link == "vsock") {
    RETURN_IF_ERROR(add_vsock(container, inherited[0].get(), inputs, inherited, companion));
  }
  ASSIGN_OR_RETURN(inputs.config, write_boot_config(container, options, repairs));
  if (container.spec.link == kUartTcp) {
    ASSIGN_OR_RETURN(auto listener, make_link_listener(container));
    inputs.link_socket = listener.get();
    inherited.push_back(std::move(listener));
  } else if (container.spec.link != "vsock") {
    RETURN_IF_ERROR(make_link_pipe(container));
  }
  RETURN_IF_ERROR(begin_life(container, inputs));
  ASSIGN_OR_RETURN(auto monitor, make_monitor(container));
  inputs.qmp_socket = monitor.listening.get();
  const auto command = qemu_command(container.spec, inputs);
  ASSIGN_OR_RETURN(const Qmp qmp, launch_qemu(container, command, std::move(inherited),
                                              std::move(monitor), std::move(companion)));
  return {};
}

uint64_t host_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool machine_running(const Container& container) {
  return is_locked(container.file("machine.lock"));
}

Status press_power_button(const Container& container) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kPressTimeoutMs));
  return qmp.execute("system_powerdown", kPressTimeoutMs);
}

Status kill_machine(const Container& container) {
  if (!machine_running(container)) return {};
  note_killed(container);
  // Either way the lock tells: a QEMU that ends need not answer.
  if (ask_to_quit(container).has_value() &&
      wait_for_machine_end(container, kQuitTimeoutMs).has_value()) {
    return {};
  }
  kill_holder(container);
  return wait_for_machine_end(container, kKillTimeoutMs);
}

Status end_succeeded_qemu(const Container& container) {
  kill_holder(container);
  if (wait_for_machine_end(container, kQuitTimeoutMs).has_value()) return {};
  return kill_machine(container);  // Its pid file may be lost.
}

std::optional<int> machine_pid(const Container& container) {
  const auto pid = read_pid(container);
  if (!pid || !holds_lock(*pid, container.file("machine.lock"))) return std::nullopt;
  return pid;
}

}  // namespace vch
