// Sessions: launching, moving their bytes, reaping, and what follows their end.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "common/io.h"
#include "tether/supervisor/clock.h"
#include "tether/supervisor/spawn.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

constexpr int kReapsPerTurn = 128;

common::Result<common::UniqueFd> sealed_memfd(std::string_view content) {
  common::UniqueFd fd(::memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return common::errno_error("memfd_create", "launch specification");
  RETURN_IF_ERROR(common::write_all(fd.get(), content, "launch specification"));
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

}  // namespace

// Protobuf is written here, before launch, and never again.
common::Status Supervisor::write_specs() {
  const auto& config = boot_.config;
  protocol::pb::LaunchSpec spec;
  *spec.mutable_session() = config.primary();
  spec.set_read_only_root(config.root().read_only());
  spec.set_hostname(config.hostname().empty() ? config.id().substr(0, 12) : config.hostname());
  ASSIGN_OR_RETURN(primary_spec_, sealed_memfd(spec.SerializeAsString()));
  if (!config.has_health() || config.health().argv_size() == 0) return {};
  auto* session = spec.mutable_session();
  session->mutable_argv()->CopyFrom(config.health().argv());
  session->set_tty(false);
  session->set_open_stdin(false);
  const std::string bytes = spec.SerializeAsString();
  ASSIGN_OR_RETURN(health_spec_, sealed_memfd(bytes));
  health_spec_size_ = bytes.size();
  return {};
}

Session* Supervisor::add_session(Session::Kind kind) {
  for (Session& session : sessions_) {
    if (session.kind != Session::Kind::kFree) continue;
    session.kind = kind;
    session.id = next_session_++;
    session.tty = kind == Session::Kind::kPrimary && boot_.config.primary().tty();
    return &session;
  }
  return nullptr;
}

Session* Supervisor::find_session(uint32_t id) {
  for (Session& session : sessions_) {
    if (session.kind != Session::Kind::kFree && session.id == id) return &session;
  }
  return nullptr;
}

// The child's ends of 0, 1 and 2; ours stay in the session. A TTY's master comes with the
// launcher's report.
int Supervisor::connect_stdio(Session& session, std::array<common::UniqueFd, 3>& child) {
  if (session.tty) return 0;
  if (session.kind == Session::Kind::kPrimary && boot_.config.primary().open_stdin()) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
    child[0].reset(ends[0]);
    session.input.reset(ends[1]);
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

int Supervisor::launch(Session& session, int spec_fd) {
  const bool keep = session.kind == Session::Kind::kPrimary;
  for (Output& output : session.outputs) {
    output.discard = !keep;
    output.ended = session.tty && &output == &session.outputs[1];
    output.told = true;
    if (!keep) continue;
    if (const auto opened = output.ring.open(); opened.has_error()) {
      return opened.error().code.value();
    }
  }
  std::array<common::UniqueFd, 3> child;
  if (const int failed = connect_stdio(session, child); failed != 0) return failed;
  int status[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) != 0) return errno;
  session.status.reset(status[0]);
  ::fcntl(status[0], F_SETFL, O_NONBLOCK);
  const common::UniqueFd theirs(status[1]);
  std::array<FdSlot, 5> slots;
  size_t used = 0;
  for (int fd = 0; fd < 3; ++fd) {
    if (child[static_cast<size_t>(fd)]) slots[used++] = {child[static_cast<size_t>(fd)].get(), fd};
  }
  slots[used++] = {theirs.get(), kLaunchStatusFd};
  slots[used++] = {spec_fd, kLaunchSpecFd};
  const pid_t pid = spawn_role("launch", std::span(slots).first(used), container_cgroup_.get());
  if (pid < 0) return -pid;
  session.launcher = pid;
  watch(session.status.get(), EPOLLIN, Source::kStatus, session.id);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    Output& output = session.outputs[stream];
    if (!output.source) continue;
    watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, stream);
    output.watched = true;
  }
  return 0;
}

void Supervisor::on_status(Session& session) {
  while (session.status) {
    LaunchReport report;
    iovec part{&report, sizeof report};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(session.status.get(), &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    common::UniqueFd master;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
        header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      master.reset(fd);
    }
    if (n == sizeof report) {
      on_report(session, report, std::move(master));
      continue;
    }
    session.status.reset();  // The end: exec worked, or nothing is left.
    if (!session.failed && session.pid != 0 && session.state == SessionState::kCreated) {
      session.state = SessionState::kRunning;
      protocol::JournalRecord record;
      record.kind = EventKind::kSessionStarted;
      record.session = session.id;
      record.value = static_cast<uint32_t>(session.pid);
      if (session.kind == Session::Kind::kPrimary) {
        event(record);
        if (kill_at_ms_ != 0) send_stop_signal();  // asked for before there was a process
      }
    }
    after_end(session);
  }
}

void Supervisor::on_report(Session& session, const LaunchReport& report, common::UniqueFd master) {
  if (report.event == LaunchEvent::kFailed) {
    if (session.failed) return;  // The first reason is the reason.
    session.failed = true;
    session.failure = report;
    session.failure.object.back() = '\0';
    return;
  }
  session.pid = report.pid;
  if (!master) return;
  ::fcntl(master.get(), F_SETFL, O_NONBLOCK);
  session.input.reset(::fcntl(master.get(), F_DUPFD_CLOEXEC, 3));
  session.slave.reset(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  Output& output = session.outputs[0];
  output.source = std::move(master);
  watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, 0);
  output.watched = true;
  on_input(session);
}

void Supervisor::reap() {
  for (int i = 0; i < kReapsPerTurn; ++i) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) return;
    on_reaped(pid, status);
  }
  ::kill(::getpid(), SIGCHLD);  // There may be more: make sure that the next turn comes at once.
}

void Supervisor::on_reaped(pid_t pid, int status) {
  if (pid == link_pid_) return on_link_death(status);
  for (Session& session : sessions_) {
    // A launcher's last words may still be unread when the process it reported is already gone.
    if (session.kind != Session::Kind::kFree && session.status) on_status(session);
  }
  for (Session& session : sessions_) {
    if (session.kind == Session::Kind::kFree) continue;
    if (pid == session.launcher) {
      session.launcher = 0;
      if (session.pid == 0 && !session.failed) {
        session.failed = true;
        session.failure.stage = static_cast<uint32_t>(protocol::Stage::kInternal);
        session.failure.errno_value = ECHILD;
        std::strcpy(session.failure.object.data(), "launcher");
      }
      return after_end(session);
    }
    if (pid == session.pid) {
      session.reaped = true;
      session.exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      session.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      session.slave.reset();
      if (session.kind == Session::Kind::kPrimary) extend_linger();
      for (uint32_t stream = 0; stream < 2; ++stream) on_output(session, stream);
      return after_end(session);
    }
  }
}

// Announces the end once everything that comes before it is there: the launcher's word, the
// process's end, all output.
void Supervisor::after_end(Session& session) {
  if (session.end_announced || session.status || session.launcher != 0) return;
  if (!session.failed && !session.reaped) return;
  if (session.failed) {
    if (session.pid != 0 && !session.reaped) return;
    for (uint32_t stream = 0; stream < 2; ++stream) {
      close_output(session.outputs[stream]);
      if (!session.outputs[stream].ended) return end_output(session, stream);
    }
  }
  if (!session.outputs[0].ended || !session.outputs[1].ended) return;
  announce_end(session);
}

void Supervisor::announce_end(Session& session) {
  session.end_announced = true;
  session.input.reset();
  session.queue.clear();
  session.state = session.failed ? SessionState::kFailed : SessionState::kExited;
  if (session.failed) {
    session.exit_code = protocol::exit_code_for(static_cast<protocol::Stage>(session.failure.stage),
                                                session.failure.errno_value);
  }
  if (session.kind == Session::Kind::kHealth) {
    if (health_.on_probe_end(now_ms(), session.exit_code)) {
      protocol::JournalRecord record;
      record.kind = EventKind::kHealth;
      record.session = primary_->id;
      record.value = static_cast<uint32_t>(health_.health());
      event(record);
    }
    probe_ = nullptr;
    return forget(session);
  }
  protocol::JournalRecord record;
  record.session = session.id;
  if (session.failed) {
    record.kind = EventKind::kFailure;
    record.stage = static_cast<uint16_t>(session.failure.stage);
    record.value = static_cast<uint32_t>(session.failure.errno_value);
    record.extra = static_cast<uint32_t>(session.exit_code);
    record.payload = session.failure.object.data();
  } else {
    record.kind = EventKind::kSessionExited;
    record.value = static_cast<uint32_t>(session.exit_code);
    record.extra = static_cast<uint32_t>(session.exit_signal);
  }
  event(record);
  tell_exit(session);
  kill_at_ms_ = 0;
  extend_linger();
}

void Supervisor::forget(Session& session) {
  session.status.reset();
  session.input.reset();
  session.slave.reset();
  for (Output& output : session.outputs) {
    close_output(output);
    output.ring.close();
    output.discard = false;
    output.ended = true;
  }
  session.queue.clear();
  session.kind = Session::Kind::kFree;
  session.state = SessionState::kCreated;
  session.pid = session.launcher = 0;
  session.failed = session.reaped = session.end_announced = session.exit_acknowledged = false;
  session.input_eof = false;
  session.exit_code = session.exit_signal = 0;
  session.attached = 0;
}

}  // namespace tether
