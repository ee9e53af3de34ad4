// Launching a session: its descriptors, its launcher, and what that reports.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "common/fd_message.h"
#include "common/io.h"
#include "tether/session/confinement.h"
#include "tether/session/nested_group.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

common::Result<common::UniqueFd> sealed_memfd(std::string_view content) {
  common::UniqueFd fd(::memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return common::errno_error("memfd_create", "launch specification");
  RETURN_IF_ERROR(common::write_all(fd.get(), content, "launch specification"));
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

// One more than there can be, for who goes on.
constexpr uint32_t kMostReports = 4;

// As recvmsg. A pipe has no descriptors to give.
ssize_t receive_report(const Session& session, LaunchReport& report, common::UniqueFd& fd) {
  if (!session.reports_fds) return ::read(session.status.get(), &report, sizeof report);
  iovec part{&report, sizeof report};
  common::FdRoom<1> room;
  msghdr message = room.message(part);
  const ssize_t n = ::recvmsg(session.status.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n > 0) common::take_fds(message, {&fd, 1});
  return n;
}

common::UniqueFd dup_of(const common::UniqueFd& fd) {
  return common::UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

}  // namespace

// Protobuf is written here, before launch, and never again.
common::Status Supervisor::write_specs() {
  const auto& config = boot_.config;
  protocol::pb::LaunchSpec spec;
  *spec.mutable_session() = config.primary();
  *spec.mutable_sandbox() = config.sandbox();
  spec.set_read_only_root(config.root().read_only());
  spec.set_hostname(config.hostname().empty() ? config.id().substr(0, 12) : config.hostname());
  ASSIGN_OR_RETURN(primary_spec_, sealed_memfd(spec.SerializeAsString()));
  if (!config.has_health() || config.health().argv_size() == 0) return {};
  auto* session = spec.mutable_session();
  session->mutable_argv()->CopyFrom(config.health().argv());
  session->set_tty(false);
  session->set_open_stdin(false);
  ASSIGN_OR_RETURN(health_spec_, sealed_memfd(spec.SerializeAsString()));
  return {};
}

// A TTY has one stream.
int Supervisor::open_rings(Session& session) {
  if (session.discard) return 0;
  for (size_t stream = 0; stream < (session.tty ? 1U : 2U); ++stream) {
    if (const auto opened = session.outputs[stream].ring.open(&rings_, &spare_rings_);
        opened.has_error()) {
      return opened.error().code.value();
    }
    session.outputs[stream].ended = false;  // also while it is held
  }
  return 0;
}

// A terminal of the container's, whose master nobody in there ever has.
int Supervisor::open_terminal(Session& session, std::array<common::UniqueFd, 3>& child) {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", terminals_.get());
  common::UniqueFd master(::open(path.data(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  int unlocked = 0;
  if (!master || ::ioctl(master.get(), TIOCSPTLCK, &unlocked) != 0) return errno;
  session.slave.reset(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  session.input = dup_of(master);
  for (common::UniqueFd& fd : child) fd = dup_of(session.slave);
  if (!session.slave || !session.input || !child[2]) return errno;
  session.outputs[0].source = std::move(master);
  return 0;
}

// The child's ends of 0, 1 and 2; ours stay in the session. The primary's terminal is of a devpts
// that comes with it: its master comes with the launcher's report.
int Supervisor::connect_stdio(Session& session, std::array<common::UniqueFd, 3>& child) {
  session.reports_fds = reports_fds(session);
  if (session.tty) return session.reports_fds ? 0 : open_terminal(session, child);
  if (session.stdin_open) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
    child[0].reset(ends[0]);
    session.input.reset(ends[1]);
    session.input_wide = false;
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  }
  for (size_t stream = 0; stream < 2; ++stream) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
    session.outputs[stream].source.reset(ends[0]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    child[stream + 1].reset(ends[1]);
  }
  return 0;
}

// A process in the container that may trace others can take this descriptor from one that has just
// been cloned (pidfd_getfd(2)) and report whatever it likes. So it is a pipe: whoever takes in a
// socket's descriptors may have to wait, by closing them, for a file system or a peer of the
// sender's. But nobody else is in the container when its primary begins.
bool Supervisor::reports_fds(const Session& session) const {
  return session.kind == Session::Kind::kPrimary || (session.tty && !terminals_);
}

// What comes from a process that has no terminal is read when it has been executed, all at once:
// nobody needs to know before. An end is told unasked.
common::UniqueFd Supervisor::connect_status(Session& session) {
  int status[2];
  const int failed = session.reports_fds
                         ? ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status)
                         : ::pipe2(status, O_CLOEXEC | O_NONBLOCK);
  if (failed != 0) return {};
  session.status.reset(status[0]);
  session.reports = 0;
  const uint32_t events = waits_for_program(session) ? EPOLLRDHUP : EPOLLIN;
  watch(status[0], events, Source::kStatus, session.id);
  return common::UniqueFd(status[1]);
}

bool Supervisor::waits_for_program(const Session& session) {
  return session.kind != Session::Kind::kPrimary && !session.apart && !session.tty;
}

// A launcher for this session alone.
int Supervisor::spawn_launcher(Session& session, int spec_fd,
                               std::span<const common::UniqueFd> child) {
  const common::UniqueFd theirs = connect_status(session);
  if (!theirs) return errno;
  std::array<FdSlot, 6> slots;
  size_t used = 0;
  for (int fd = 0; fd < 3; ++fd) {
    if (child[static_cast<size_t>(fd)]) slots[used++] = {child[static_cast<size_t>(fd)].get(), fd};
  }
  slots[used++] = {theirs.get(), kLaunchStatusFd};
  slots[used++] = {spec_fd, kLaunchSpecFd};
  // Whom to join is for PID 1 to say, whoever wrote the specification.
  common::UniqueFd join;
  if (session.kind != Session::Kind::kPrimary) {
    join = system_.open_pidfd(primary_->pid);
    if (!join) return ESRCH;
    slots[used++] = {join.get(), kLaunchJoinFd};
  }
  const auto given = std::span(slots).first(used);
  pid_t pid = system_.spawn("launch", given, container_cgroup_.get());
  if (pid == -EBUSY && join) {
    const common::UniqueFd file = open_cgroup_file(primary_->pid);
    const common::UniqueFd nested = open_nested_group(container_cgroup_.get(), file.get());
    if (nested) pid = system_.spawn("launch", given, nested.get());
  }
  if (pid < 0) return -pid;
  session.launcher = pid;
  return 0;
}

int Supervisor::launch(Session& session, int spec_fd) {
  for (Output& output : session.outputs) {
    output.discard = session.discard;
    output.ended = session.tty && &output == &session.outputs[1];
  }
  std::array<common::UniqueFd, 3> child;
  if (const int failed = connect_stdio(session, child); failed != 0) return failed;
  int failed = 0;
  if (&session == primary_ || session.apart) {
    failed = spawn_launcher(session, spec_fd, child);
  } else {
    session.launching = {};
    session.launching.spec.reset(::fcntl(spec_fd, F_DUPFD_CLOEXEC, 3));
    session.launching.stdio = std::move(child);
    failed = ask_launcher(session);
  }
  if (failed != 0) return failed;
  session.started_ms = system_.now_ms();
  for (uint32_t stream = 0; stream < 2; ++stream) {
    Output& output = session.outputs[stream];
    if (!output.source) continue;
    watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, stream);
    output.watched = true;
  }
  on_input(session);  // what came before there was anybody to take it
  return 0;
}

// There is not even a launcher who could say why.
void Supervisor::fail_launch(Session& session, int errno_value, std::string_view object) {
  session.failed = true;
  session.failure = {};
  session.failure.stage = static_cast<uint32_t>(protocol::Stage::kInternal);
  session.failure.errno_value = errno_value;
  object.copy(session.failure.object.data(), session.failure.object.size() - 1);
  drop(session.status);
  session.launching = {};
  after_end(session);
}

void Supervisor::on_status(Session& session, pid_t just_reaped) {
  while (session.status) {
    LaunchReport report;
    common::UniqueFd fd;
    const ssize_t n = receive_report(session, report, fd);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n == sizeof report && ++session.reports <= kMostReports) {
      on_report(session, report, std::move(fd), just_reaped);
      continue;
    }
    end_reports(session);  // exec worked, or nothing is left.
    const bool begun = session.failed || session.pid != 0;
    if (!begun && session.launcher == 0) return ask_again(session);
    session.launching = {};
    if (lets_it_run(session)) return;
    on_begun(session);
    return after_end(session);
  }
}

void Supervisor::end_reports(Session& session) {
  drop(session.status);
  if (link_starts_ == 0) link_restart_ms_ = system_.now_ms() + kLinkMs;
}

// Its program has no processor if its news are told now, and whoever hears of them has nothing to
// do: there is no output. What it says, or its end, comes first, or the bound.
bool Supervisor::lets_it_run(const Session& session) {
  if (!session.quiet || session.failed || session.pid == 0 || session.reaped) return false;
  const auto& [out, err] = session.outputs;
  if (out.ring.head() != 0 || err.ring.head() != 0 || !system_.busy()) return false;
  introduce_at_ms_ = std::min(introduce_at_ms_, system_.now_ms() + kBusyMs);
  return true;
}

// Once it has failed or its program runs, which lets_it_run() may have left for later.
void Supervisor::on_begun(Session& session) {
  if (session.status) return;
  stay_quiet(session, false);
  if (session.failed || session.pid == 0 || session.state != SessionState::kCreated) return;
  session.state = SessionState::kRunning;
  tell_news(session);
  protocol::JournalRecord record;
  record.kind = EventKind::kSessionStarted;
  record.session = session.id;
  record.value = static_cast<uint32_t>(session.pid);
  if (session.visible()) event(record);
  if (&session != primary_) return;
  // Not now, when it would be in the way of the container's first instructions.
  launcher_at_ms_ = system_.now_ms() + kLauncherMs;
  if (kill_at_ms_ != 0) send_stop_signal();  // asked for before there was a process
}

// Whether a report's pid can be a session's: a child of ours that is nobody else's.
bool Supervisor::is_new_process(pid_t pid, pid_t just_reaped) const {
  if (pid <= 0 || pid == link_pid_ || pid == dhcp_pid_ || pid == guestinfo_pid_) return false;
  if (pid == relieve_pid_ || pid == resolver_pid_ || pid == upgrade_.pid) return false;
  if (pid == spare_login_.pid) return false;
  const auto is_it = [pid](const auto& row) { return row.pid == pid; };
  if (std::any_of(launchers_.begin(), launchers_.end(), is_it)) return false;
  if (std::any_of(helpers_.begin(), helpers_.end(), is_it)) return false;
  if (std::count(ssh_logins_.begin(), ssh_logins_.end(), pid) > 0) return false;
  if (sessions_.find_process(pid) != nullptr) return false;
  return pid == just_reaped || system_.is_child(pid);
}

void Supervisor::on_report(Session& session, const LaunchReport& report, common::UniqueFd fd,
                           pid_t just_reaped) {
  if (report.event == LaunchEvent::kFailed) {
    if (session.failed) return;  // The first reason is the reason.
    session.failed = true;
    session.failure = report;
    session.failure.object.back() = '\0';
    return;
  }
  if (report.event == LaunchEvent::kStarted && session.pid == 0) {
    if (!is_new_process(report.pid, just_reaped)) return;
    session.pid = report.pid;
    session.launching = {};
  }
  if (!fd) return;
  if (report.event == LaunchEvent::kTerminals) terminals_ = std::move(fd);
  const bool wanted = session.tty && !session.outputs[0].source;
  if (report.event == LaunchEvent::kTerminal && wanted) take_terminal(session, std::move(fd));
}

void Supervisor::take_terminal(Session& session, common::UniqueFd master) {
  ::fcntl(master.get(), F_SETFL, O_NONBLOCK);
  session.input = dup_of(master);
  session.slave.reset(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (session.window.ws_row != 0) ::ioctl(master.get(), TIOCSWINSZ, &session.window);
  Output& output = session.outputs[0];
  output.source = std::move(master);
  watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, 0);
  output.watched = true;
  on_input(session);
}

}  // namespace tether
