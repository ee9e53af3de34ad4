// What the link process is told.
#include <linux/sockios.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "common/fd_message.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

// Of the socket's buffer: news beyond it waits, so that there is always room for what cannot. From
// there on it is not writable either, so that waiting for room does not spin.
constexpr int kBusyBytes = kLinkSendBuffer * 2 / 4;

bool is_fresh(const Session& session) {
  return !session.discard && !session.input_eof && !session.queue.used() &&
         std::all_of(session.outputs.begin(), session.outputs.end(),
                     [](const Output& output) { return output.ring.tail() == 0 && !output.seen; });
}

}  // namespace

// Best effort by design: a link process that does not read loses notices, and is told everything
// anew after its restart.
void Supervisor::tell(const LinkHeader& header, std::string_view payload,
                      std::span<const int> fds) {
  if (!link_) return;
  LinkHeader copy = header;
  const std::array<iovec, 2> parts = {
      {{&copy, sizeof copy}, {const_cast<char*>(payload.data()), payload.size()}}};
  const auto used = std::span(parts).first(payload.empty() ? 1 : 2);
  if (common::send_fds(link_.get(), used, fds, 0) < 0 && errno == EAGAIN && link_pid_ > 0) {
    // It has not read hundreds of messages: it hangs. Its successor is told everything anew.
    system_.signal(link_pid_, SIGKILL);
  }
}

// While the link process is behind, news waits: the newest head says all that older ones would have
// said, and there is always room for what cannot wait.
bool Supervisor::link_busy() {
  int queued = 0;
  if (!link_ || ::ioctl(link_.get(), SIOCOUTQ, &queued) != 0 || queued <= kBusyBytes) return false;
  watch(link_.get(), EPOLLIN | EPOLLOUT, Source::kLink);
  return true;
}

// All that the link process does not know of this session yet, in order.
void Supervisor::tell_news(Session& session) {
  if (!link_ || !session.visible() || session.over) return;
  if (session.quiet || &session == held_back_) return;
  const bool news = !session.introduced || !session.outputs[0].told || !session.outputs[1].told ||
                    !session.exit_told;
  if (!news || link_busy()) return;
  if (!session.introduced) introduce(session);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    Output& output = session.outputs[stream];
    if (std::exchange(output.told, true) || session.discard) continue;
    LinkHeader header;
    header.type = LinkType::kHead;
    header.session = session.id;
    header.stream = stream + 1;
    header.offset = output.ring.head();
    header.writer[0] = output.ring.tail();
    const bool last = session.end_announced || &session != primary_ || !restarts_.possible();
    output.eof_told = output.ended && last;
    header.value = output.eof_told ? 1 : 0;
    tell(header);
  }
  if (std::exchange(session.exit_told, true)) return;
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

void Supervisor::tell_all_news() {
  watch(link_.get(), EPOLLIN, Source::kLink);
  for (Session& session : sessions_) tell_news(session);
}

void Supervisor::introduce(Session& session) {
  LinkHeader header;
  header.type = LinkType::kSession;
  header.session = session.id;
  header.value = (&session == primary_ ? kSessionPrimary : 0U) | (session.tty ? kSessionTty : 0U) |
                 (session.stdin_open ? kSessionStdinOpen : 0U) |
                 (session.state == protocol::SessionState::kRunning ? kSessionRunning : 0U) |
                 (session.discard ? kSessionDiscard : 0U);
  header.offset = static_cast<uint64_t>(session.pid);
  header.writer = session.request;
  const bool fresh = is_fresh(session);
  if (fresh) header.value |= kSessionFresh;
  if (session.discard) {
    session.introduced = true;
    return tell(header);
  }
  session.introduced = true;
  const std::array<int, 2> fds = {session.outputs[0].ring.reader(),
                                  session.outputs[session.tty ? 0 : 1].ring.reader()};
  tell(header, {}, fds);
  for (uint32_t stream = 0; stream < 2; ++stream) {
    if (fresh) {
      const Output& output = session.outputs[stream];
      session.outputs[stream].told = !output.ended && output.ring.head() == 0;
      continue;
    }
    LinkHeader bounds;
    bounds.session = session.id;
    bounds.stream = stream + 1;
    bounds.type = LinkType::kTail;
    const Output& output = session.outputs[stream];
    bounds.offset = output.ring.tail();
    bounds.value = output.seen ? 1 : 0;
    bounds.writer[0] = output.delivered;
    tell(bounds);
    session.outputs[stream].told = false;
  }
}

void Supervisor::tell_head(Session& session, uint32_t stream) {
  session.outputs[stream].told = false;
  tell_news(session);
}

void Supervisor::tell_exit(Session& session) {
  session.exit_told = false;
  tell_news(session);
}

void Supervisor::tell_state(const RequestId& request) {
  LinkHeader header;
  header.type = LinkType::kState;
  header.value = paused() ? 1 : 0;
  header.offset = restarts_.count();
  header.writer = request;
  tell(header);
}

void Supervisor::tell_stdin(Session& session, const WriterId& writer, uint64_t offset,
                            bool answers) {
  LinkHeader header;
  header.type = LinkType::kStdinAck;
  header.session = session.id;
  header.offset = offset;
  header.writer = writer;
  header.stream = answers ? 1 : 0;
  const bool more = session.input_open() || session.state == protocol::SessionState::kCreated ||
                    restarts_possible(session);
  header.value = more ? 0 : 1;
  tell(header);
}

}  // namespace tether
