// The link process: starting it, again and again if need be, and what is said to and by it.
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tether/supervisor/clock.h"
#include "tether/supervisor/spawn.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr uint32_t kDeathsAtOnce = 5;
constexpr uint64_t kMaxBackOffMs = 1000;
constexpr uint64_t kSoundRunMs = 10000;  // who lived so long starts with a clean record
constexpr int kMessagesPerTurn = 32;
// Of the socket's buffer: heads beyond it wait, so that there is always room for what cannot.
constexpr int kBusyBytes = 48 * 1024;

}  // namespace

void Supervisor::start_link() {
  link_restart_ms_ = 0;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    link_restart_ms_ = now_ms() + kMaxBackOffMs;
    return;
  }
  const common::UniqueFd theirs(ends[1]);
  link_.reset(ends[0]);
  std::array<FdSlot, 3 + kMaxLinkDevices> slots = {{{theirs.get(), kLinkSupervisorFd},
                                                    {boot_.secrets.get(), kLinkSecretsFd},
                                                    {boot_.config_file.get(), kLinkConfigFd}}};
  for (size_t i = 0; i < link_devices_.count; ++i) {
    slots[3 + i] = {link_devices_.fds[i].get(), kLinkDeviceFd + static_cast<int>(i)};
  }
  const pid_t pid = spawn_role("link", std::span(slots).first(3 + link_devices_.count));
  if (pid < 0) {
    link_.reset();
    link_restart_ms_ = now_ms() + kMaxBackOffMs;
    return;
  }
  link_pid_ = pid;
  link_started_ms_ = now_ms();
  ++link_starts_;
  watch(link_.get(), EPOLLIN, Source::kLink);
  LinkHeader restarts;
  restarts.type = LinkType::kRestarts;
  restarts.value = link_starts_ - 1;
  tell(restarts);
  for (Session& session : sessions_) {
    if (session.kind == Session::Kind::kPrimary) tell_session(session);
  }
  protocol::JournalRecord record;
  record.kind = EventKind::kLinkStarted;
  record.value = link_starts_;
  event(record);
}

void Supervisor::on_link_death(int status) {
  link_pid_ = 0;
  link_.reset();
  for (Session& session : sessions_) session.attached = 0;
  if (linger_until_ms_ != 0) extend_linger();  // for those who come back through its successor
  if (now_ms() - link_started_ms_ > kSoundRunMs) link_quick_deaths_ = 0;
  ++link_quick_deaths_;
  uint64_t wait = 0;
  if (link_quick_deaths_ > kDeathsAtOnce) {
    wait =
        std::min(kMaxBackOffMs, uint64_t{20} << std::min(link_quick_deaths_ - kDeathsAtOnce, 6U));
  }
  link_restart_ms_ = now_ms() + wait;
  protocol::JournalRecord record;
  record.kind = EventKind::kLinkDied;
  record.value =
      static_cast<uint32_t>(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  event(record);
}

// Best effort by design: a link process that does not read loses notices, and is told everything
// anew after its restart.
void Supervisor::tell(const LinkHeader& header, std::string_view payload,
                      std::span<const int> fds) {
  if (!link_) return;
  LinkHeader copy = header;
  iovec parts[2] = {{&copy, sizeof copy}, {const_cast<char*>(payload.data()), payload.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = payload.empty() ? 1 : 2;
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  if (::sendmsg(link_.get(), &message, MSG_NOSIGNAL) < 0 && errno == EAGAIN && link_pid_ > 0) {
    // It has not read hundreds of messages: it hangs. Its successor is told everything anew.
    ::kill(link_pid_, SIGKILL);
  }
}

void Supervisor::tell_session(Session& session) {
  LinkHeader header;
  header.type = LinkType::kSession;
  header.session = session.id;
  header.value = kSessionPrimary | (session.tty ? kSessionTty : 0U) |
                 (boot_.config.primary().open_stdin() || session.tty ? kSessionStdinOpen : 0U);
  header.offset = static_cast<uint64_t>(session.pid);
  auto first = session.outputs[0].ring.reopen_read_only();
  auto second = session.outputs[1].ring.reopen_read_only();
  if (!first || !second) return;
  const std::array<int, 2> fds = {first.get(), second.get()};
  tell(header, {}, fds);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    const Output& output = session.outputs[stream];
    LinkHeader bounds;
    bounds.session = session.id;
    bounds.stream = stream + 1;
    bounds.type = LinkType::kTail;
    bounds.offset = output.ring.tail();
    tell(bounds);
    tell_head(session, stream);
  }
  if (session.end_announced) tell_exit(session);
}

// The newest head says all that older ones would have said: while the link process is behind, one
// waits instead of many.
void Supervisor::tell_head(Session& session, uint32_t stream) {
  Output& output = session.outputs[stream];
  int queued = 0;
  if (link_ && !output.ended && ::ioctl(link_.get(), SIOCOUTQ, &queued) == 0 &&
      queued > kBusyBytes) {
    if (std::exchange(output.told, false)) watch(link_.get(), EPOLLIN | EPOLLOUT, Source::kLink);
    return;
  }
  output.told = true;
  LinkHeader header;
  header.type = LinkType::kHead;
  header.session = session.id;
  header.stream = stream + 1;
  header.offset = output.ring.head();
  header.value = output.ended ? 1 : 0;
  tell(header);
}

void Supervisor::tell_waiting_heads() {
  watch(link_.get(), EPOLLIN, Source::kLink);
  for (Session& session : sessions_) {
    for (uint32_t stream = 0; stream < 2; ++stream) {
      if (session.kind == Session::Kind::kPrimary && !session.outputs[stream].told) {
        tell_head(session, stream);
      }
    }
  }
}

void Supervisor::tell_exit(Session& session) {
  LinkHeader header;
  header.type = LinkType::kExit;
  header.session = session.id;
  header.value = static_cast<uint32_t>(session.exit_code);
  header.offset = static_cast<uint64_t>(session.exit_signal);
  std::string_view object;
  if (session.failed) {
    header.writer = {session.failure.stage, static_cast<uint64_t>(session.failure.errno_value)};
    object = session.failure.object.data();
  }
  tell(header, object);
}

void Supervisor::tell_stdin(Session& session, const WriterId& writer, uint64_t offset) {
  LinkHeader header;
  header.type = LinkType::kStdinAck;
  header.session = session.id;
  header.offset = offset;
  header.writer = writer;
  header.value = session.input_open() || session.state == protocol::SessionState::kCreated ? 0 : 1;
  tell(header);
}

void Supervisor::on_link_readable() {
  static std::array<char, sizeof(LinkHeader) + kLinkMaxPayload> buffer;
  for (int i = 0; i < kMessagesPerTurn && link_; ++i) {
    const ssize_t n = ::recv(link_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, link_.get(), nullptr);
      if (link_pid_ > 0) ::kill(link_pid_, SIGKILL);  // if it is not dying already
      return;
    }
    const auto size = static_cast<size_t>(n);
    if (size < sizeof(LinkHeader) || size > buffer.size()) continue;
    LinkHeader header;
    std::memcpy(&header, buffer.data(), sizeof header);
    on_link_message(header, {buffer.data() + sizeof header, size - sizeof header});
  }
}

void Supervisor::on_link_message(const LinkHeader& header, std::string_view payload) {
  if (header.type == LinkType::kStop) {
    return stop(header.value != 0 ? header.value : boot_.config.stop_grace_ms());
  }
  Session* session = find_session(header.session);
  if (session == nullptr || session->kind != Session::Kind::kPrimary) return;
  switch (header.type) {
    case LinkType::kFree: {
      if (header.stream < 1 || header.stream > 2) return;
      Output& output = session->outputs[header.stream - 1];
      if (!output.ring.free_below(header.offset)) return;
      if (linger_until_ms_ != 0) extend_linger();
      if (output.source && !output.watched) {
        watch(output.source.get(), EPOLLIN, Source::kOutput, session->id, header.stream - 1);
        output.watched = true;
        if (session->reaped) on_output(*session, header.stream - 1);
      }
      return;
    }
    case LinkType::kStdin:
    case LinkType::kStdinEof:
    case LinkType::kStdinQuery:
      return on_stdin_message(header, payload);
    case LinkType::kResize: {
      const winsize size{static_cast<unsigned short>(header.value >> 16U),
                         static_cast<unsigned short>(header.value & 0xffffU), 0, 0};
      if (session->tty && session->input) ::ioctl(session->input.get(), TIOCSWINSZ, &size);
      return;
    }
    case LinkType::kSignal:
      return signal_session(*session, static_cast<int>(header.value), header.stream == 1);
    case LinkType::kExitAck:
      session->exit_acknowledged = session->end_announced;
      return;
    case LinkType::kAttached:
      session->attached = header.value;
      if (linger_until_ms_ != 0 && session->attached == 0) extend_linger();
      return;
    default:
      return;
  }
}

void Supervisor::on_stdin_message(const LinkHeader& header, std::string_view payload) {
  Session& session = *find_session(header.session);
  if (header.type == LinkType::kStdinQuery) {
    return tell_stdin(session, header.writer, session.queue.received(header.writer));
  }
  const bool coming = session.state == protocol::SessionState::kCreated && !session.input_eof;
  if (!session.input_open() && !coming) {
    return tell_stdin(session, header.writer, header.offset + payload.size());
  }
  if (header.type == LinkType::kStdinEof) {
    if (!session.tty) session.input_eof = true;
  } else {
    session.queue.push(header.writer, header.offset, payload);
  }
  on_input(session);
}

}  // namespace tether
