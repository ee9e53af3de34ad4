// The link process: starting it, again and again if need be, and what it says.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/fd_message.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr uint32_t kDeathsAtOnce = 5;
constexpr uint64_t kMaxBackOffMs = 1000;
constexpr size_t kMostTyped = 64;        // at once: more is no keystroke, nor a word that is pasted
constexpr uint64_t kSoundRunMs = 10000;  // who lived so long starts with a clean record
constexpr int kMessagesPerTurn = 32;
constexpr uint32_t kMostCalls = 0xffff;
constexpr int kMostLeft = 4096;  // messages; a socket holds some hundreds

}  // namespace

void Supervisor::start_link() {
  link_restart_ms_ = 0;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    link_restart_ms_ = system_.now_ms() + kMaxBackOffMs;
    return;
  }
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &kLinkSendBuffer, sizeof kLinkSendBuffer);
  const common::UniqueFd theirs(ends[1]);
  link_.reset(ends[0]);
  std::array<FdSlot, 3 + kMaxLinkDevices> slots = {{{theirs.get(), kLinkSupervisorFd},
                                                    {boot_.secrets.get(), kLinkSecretsFd},
                                                    {boot_.config_file.get(), kLinkConfigFd}}};
  for (size_t i = 0; i < link_devices_.count; ++i) {
    slots[3 + i] = {link_devices_.fds[i].get(), kLinkDeviceFd + static_cast<int>(i)};
  }
  pass_on_pieces();
  const pid_t pid = system_.spawn("link", std::span(slots).first(3 + link_devices_.count), -1);
  if (pid < 0) {
    link_.reset();
    link_restart_ms_ = system_.now_ms() + kMaxBackOffMs;
    return;
  }
  link_pid_ = pid;
  link_batch_ = false;
  interrupt_less();
  link_forbidden_call_ = 0;
  link_started_ms_ = system_.now_ms();
  ++link_starts_;
  watch(link_.get(), EPOLLIN, Source::kLink);
  LinkHeader restarts;
  restarts.type = LinkType::kRestarts;
  restarts.value = link_starts_ - 1;
  tell(restarts);
  tell_state();
  tell_stats_files();
  events_.tell_all([this](const LinkHeader& event, std::string_view text) { tell(event, text); });
  for (Session& session : sessions_) {
    session.introduced = false;
    if (session.quiet) on_begun(session);
    stay_quiet(session, false);
    for (Output& output : session.outputs) output.told = false;
    session.exit_told = !session.end_announced;
  }
  tell_all_news();
  protocol::JournalRecord record;
  record.kind = EventKind::kLinkStarted;
  record.value = link_starts_;
  event(record);
}

void Supervisor::on_link_death(int status) {
  link_pid_ = 0;
  // What it said before its end may have been promised to a client. A dead one says no more.
  for (int i = 0; i < kMostLeft && take_link_message(); ++i) continue;
  drop(link_);
  if (!hand_over_.whole) drop_pieces();
  for (Session& session : sessions_) set_attached(session, 0);
  expire_sessions();
  if (linger_until_ms_ != 0) extend_linger();  // for those who come back through its successor
  if (system_.now_ms() - link_started_ms_ > kSoundRunMs) link_quick_deaths_ = 0;
  ++link_quick_deaths_;
  uint64_t wait = 0;
  if (link_quick_deaths_ > kDeathsAtOnce) {
    wait =
        std::min(kMaxBackOffMs, uint64_t{20} << std::min(link_quick_deaths_ - kDeathsAtOnce, 6U));
  }
  link_restart_ms_ = system_.now_ms() + wait;
  protocol::JournalRecord record;
  record.kind = EventKind::kLinkDied;
  record.value =
      static_cast<uint32_t>(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) record.extra = link_forbidden_call_;
  event(record);
}

void Supervisor::on_link_readable() {
  // What it says is the next program's to read.
  if (upgrade_.step == Upgrade::Step::kQuiet) return watch(link_.get(), 0, Source::kLink);
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    if (!take_link_message()) return;
  }
}

// False: there is none now.
bool Supervisor::take_link_message() {
  static std::array<char, sizeof(LinkHeader) + kLinkMaxPayload> buffer;
  if (!link_) return false;
  iovec part{buffer.data(), buffer.size()};
  common::FdRoom<1> room;
  msghdr message = room.message(part);
  const ssize_t n = ::recvmsg(link_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  // The latter is said once, by an end that had not read everything; what it wrote comes behind.
  if (n < 0 && (errno == EINTR || errno == ECONNRESET)) return true;
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, link_.get(), nullptr);
    if (link_pid_ > 0) system_.signal(link_pid_, SIGKILL);  // if it is not dying already
    return false;
  }
  common::UniqueFd fd;
  common::take_fds(message, {&fd, 1});
  const auto size = static_cast<size_t>(n);
  if (size < sizeof(LinkHeader) || (message.msg_flags & MSG_TRUNC) != 0) return true;
  LinkHeader header;
  std::memcpy(&header, buffer.data(), sizeof header);
  on_link_message(header, {buffer.data() + sizeof header, size - sizeof header}, std::move(fd));
  return true;
}

// Who asked asks again, through the next one, which gives the answer.
void Supervisor::on_restart_link(const LinkHeader& header) {
  if (header.writer == kNoRequest)
    return refuse(header.writer, EINVAL, "the request makes no sense");
  if (!requests_.insert(header.writer)) return tell_state(header.writer);
  for (const Launcher& launcher : launchers_) {
    if (launcher.pid > 0) system_.signal(launcher.pid, SIGKILL);
  }
  if (link_pid_ > 0) system_.signal(link_pid_, SIGKILL);
}

void Supervisor::on_link_message(const LinkHeader& header, std::string_view payload,
                                 common::UniqueFd fd) {
  switch (header.type) {
    case LinkType::kStop:
      if (!requests_.insert(header.writer)) return;
      return stop(header.value != 0 ? header.value : boot_.config.stop_grace_ms(), header.stream);
    case LinkType::kLaunch:
      return on_launch(header, std::move(fd));
    case LinkType::kPause:
      return on_pause(header);
    case LinkType::kListProcesses:
    case LinkType::kUpdate:
    case LinkType::kVolume:
    case LinkType::kNetwork:
      return on_helped(header, std::move(fd));
    case LinkType::kRestartPolicy:
      return on_restart_policy(header);
    case LinkType::kMeasure:
      return on_measure(header);
    case LinkType::kRestartLink:
      return on_restart_link(header);
    case LinkType::kStepClock:
      return on_step_clock(header);
    case LinkType::kUpgrade:
      return on_upgrade(header, std::move(fd));
    case LinkType::kSshLogin:
      return on_ssh_login(header);
    case LinkType::kSshNews:
      return on_ssh_news(header, payload);
    case LinkType::kPiece:
      return on_piece(header, std::move(fd));
    case LinkType::kHandedOver:
      return on_handed_over();
    case LinkType::kForbiddenCall:
      link_forbidden_call_ = std::min(header.value, kMostCalls) + 1;
      return;
    default:
      break;
  }
  Session* session = find_session(header.session);
  if (session == nullptr || !session->visible() || session->over) return;
  on_session_message(*session, header, payload);
}

void Supervisor::on_session_message(Session& session, const LinkHeader& header,
                                    std::string_view payload) {
  switch (header.type) {
    case LinkType::kFree:
    case LinkType::kDelivered:
      return on_delivered(session, header);
    case LinkType::kStdin:
    case LinkType::kStdinEof:
    case LinkType::kStdinQuery:
      return on_stdin_message(header, payload);
    case LinkType::kResize:
      session.window = {static_cast<unsigned short>(header.value >> 16U),
                        static_cast<unsigned short>(header.value & 0xffffU), 0, 0};
      if (session.tty && session.input) ::ioctl(session.input.get(), TIOCSWINSZ, &session.window);
      return;
    case LinkType::kSignal:
      return on_signal_request(session, header);
    case LinkType::kExitAck:
      session.exit_acknowledged = session.end_announced;
      if (session.exit_acknowledged && &session != primary_) {
        session.introduced = false;  // The link process knows it no more.
        forget(session);
      }
      return;
    case LinkType::kAttached:
      set_attached(session, header.value);
      for (Output& output : session.outputs) output.seen = output.seen || header.stream == 1;
      if (session.attached == 0) expire_sessions();
      if (linger_until_ms_ != 0 && session.attached == 0) extend_linger();
      if (held_ && &session == primary_ && session.attached != 0) launch_primary();
      return;
    default:
      return;
  }
}

void Supervisor::on_stdin_message(const LinkHeader& header, std::string_view payload) {
  Session& session = *find_session(header.session);
  if (header.type == LinkType::kStdinQuery) {
    return tell_stdin(session, header.writer, session.queue.received(header.writer), true);
  }
  const bool coming = session.state == protocol::SessionState::kCreated && !session.input_eof;
  const bool later = restarts_possible(session) && !session.input_eof;
  const bool now = session.input_open() || coming;
  if (!now && !later) {
    return tell_stdin(session, header.writer, header.offset + payload.size());
  }
  if (header.type == LinkType::kStdinEof) {
    if (!session.tty) session.input_eof = true;
  } else {
    if (payload.size() <= kMostTyped) typed_ms_ = system_.now_ms();
    gather(payload.size());
    if (!pass_on(session, header, payload))
      session.queue.push(header.writer, header.offset, payload);
  }
  if (!now) {
    // This run takes nothing more, the next one will.
    session.queue.clear();
    return tell_stdin(session, header.writer, session.queue.received(header.writer));
  }
  on_input(session);
}

}  // namespace tether
