#include "tether/link/ssh/login_server.h"

#include <poll.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "tether/link/ssh/session_channel.h"
#include "tether/link/ssh/subsystem_channel.h"
#include "tether/supervisor/clock.h"
#include "tether/supervisor/system.h"

namespace tether {
namespace {

constexpr uint64_t kLastWordsMs = 1000;

}  // namespace

LoginServer::LoginServer(SshServices& services, SshKey host_key, std::vector<SshKey> authorized)
    : services_(services), host_key_(std::move(host_key)), authorized_(std::move(authorized)) {}

// Channels that go may send their last words, and so hear of new ones: there are none any more.
LoginServer::~LoginServer() {
  closing_ = true;
  openings_.clear();
  std::exchange(channels_, {}).clear();
  if (event_ != nullptr) ssh_event_free(event_);
  if (session_ != nullptr) ssh_free(session_);
  if (bind_ != nullptr) ssh_bind_free(bind_);
}

bool LoginServer::exchange_keys(int connection) {
  ssh_set_blocking(session_, 0);
  for (;;) {
    const int done = ssh_handle_key_exchange(session_);
    if (done == SSH_OK) return true;
    if (done != SSH_AGAIN) return false;
    pollfd waiting{connection, wanted_of_client(), 0};
    ::poll(&waiting, 1, -1);
  }
}

void LoginServer::run(int connection) {
  if (bind_ == nullptr) prepare(connection);
  if (!prepared_) return refuse(ssh_get_error(bind_));
  if (!exchange_keys(connection)) {
    return refuse(std::string("key exchange: ") + ssh_get_error(session_));
  }
  ssh_event_add_session(event_, session_);
  ssh_set_counters(session_, nullptr, &packets_);
  while (turn(connection)) continue;
  const std::string why = ssh_get_error(session_);
  const bool fatal = ssh_get_error_code(session_) == SSH_FATAL;
  hang_up();
  if (user_.empty()) {
    refuse(last_refusal_.empty() ? "the client left before it logged in" : last_refusal_);
  } else {
    const bool left =
        why.starts_with("Socket error") || why.starts_with("Received SSH_MSG_DISCONNECT");
    if (fatal && !left) complain(why);
    services_.news(SshAsk::kEnded, shown_name(user_));
  }
}

// The library would wait after each packet for room for one more, though nobody has one.
short LoginServer::wanted_of_client() const {
  return static_cast<short>(POLLIN | (is_line_full() ? POLLOUT : 0));
}

bool LoginServer::is_line_full() const {
  return (ssh_get_status(session_) & SSH_WRITE_PENDING) != 0;
}

// False: nothing can be waited for any more.
bool LoginServer::wait(int connection) {
  waiting_.clear();
  waiting_.push_back({connection, wanted_of_client(), 0});
  waiting_.push_back({services_.fd(), services_.events(), 0});
  for (const auto& channel : channels_) {
    if (is_waited_for(*channel)) waiting_.push_back(channel->waits());
  }
  const size_t channels_end = waiting_.size();
  for (const auto& opening : openings_) waiting_.push_back(opening->waits());
  if (::poll(waiting_.data(), waiting_.size(), patience()) < 0) {
    for (pollfd& each : waiting_) each.revents = 0;
    return errno == EINTR;
  }
  size_t at = 2;
  for (const auto& channel : channels_) {
    if (at >= channels_end || !is_waited_for(*channel)) continue;
    if (waiting_[at++].revents != 0) channel->wake();
  }
  return true;
}

bool LoginServer::is_waited_for(const SshChannel& channel) const {
  return closing_ ? channel.drains() : !channel.over();
}

// In ms, as poll() has it.
int LoginServer::patience() const {
  if (!closing_ && packets_.in_packets != seen_) return 0;
  const bool full = is_line_full();
  uint64_t first = UINT64_MAX;
  for (const auto& channel : channels_) {
    if (!full && !closing_ && channel->wants_line()) return 0;  // It has room by now.
    if (channel->drains()) first = std::min(first, channel->deadline());
  }
  const uint64_t now = now_ms();
  if (first == UINT64_MAX) return -1;
  return first > now ? static_cast<int>(first - now) : 0;
}

// The library takes packets whenever it sends, so also while the channels have their turn. What
// came then for a channel that had its turn before is nothing that poll() would tell: there is
// another round at once. False: the client or the link process has gone.
bool LoginServer::turn(int connection) {
  if (!wait(connection)) return false;
  if (waiting_[0].revents != 0 && ssh_event_dopoll(event_, 0) == SSH_ERROR) return false;
  seen_ = packets_.in_packets;
  gather();
  if (!services_.pump(waiting_[1].revents != 0)) return false;
  open_forwards();
  pump_channels();
  sweep();
  if (attempts_ >= kMaxAttempts) return false;
  return ssh_is_connected(session_) != 0 &&
         (ssh_get_status(session_) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0;
}

// They share one line. Whoever fills it is the last of the next turn, and of those that come anew
// none waits for one.
void LoginServer::pump_channels() {
  const size_t count = channels_.size();
  const size_t first = first_;
  bool full = is_line_full();
  for (size_t i = 0; i < channels_.size(); ++i) {
    const size_t at = i < count ? (first + i) % count : i;
    channels_[at]->pump(channels_.size());
    const bool was_full = std::exchange(full, full || is_line_full());
    if (full && !was_full) first_ = at + 1;
  }
}

// Of a stream much is encrypted or deciphered at once: whoever has more to say first says it. So
// does a command, whose output, its two ends and its exit are told by themselves otherwise. Who
// types is heard at once.
void LoginServer::gather() {
  const uint64_t moved = packets_.in_bytes + packets_.out_bytes;
  const size_t size = moved - std::exchange(moved_, moved);
  if (size == 0) return;
  const bool stream = gathering_.on_bytes(now_ms(), size);
  const bool typing = std::any_of(channels_.begin(), channels_.end(),
                                  [](const auto& channel) { return channel->is_typed(); });
  const bool wanted = stream || !typing;
  if (wanted == std::exchange(gathers_, wanted)) return;
  kernel_system().set_batch(0, wanted);
}

// What goes may send its last words, and so hear of a new channel: not while it is in the list.
void LoginServer::sweep() {
  const auto first = std::partition(channels_.begin(), channels_.end(),
                                    [](const auto& channel) { return !channel->gone(); });
  const std::vector<std::unique_ptr<SshChannel>> gone(std::make_move_iterator(first),
                                                      std::make_move_iterator(channels_.end()));
  channels_.erase(first, channels_.end());
}

void LoginServer::hang_up() {
  closing_ = true;
  openings_.clear();
  for (const auto& channel : channels_) {
    if (!channel->over() && !channel->drains()) channel->hang_up();
  }
  while (services_.pump()) {
    for (size_t i = 0; i < channels_.size(); ++i) {
      if (channels_[i]->drains()) channels_[i]->pump(channels_.size());
    }
    if (patience() < 0 || !wait(-1)) break;
  }
  const uint64_t deadline = now_ms() + kLastWordsMs;
  // Whatever was about to start is hung up on with its answer.
  while (services_.pump() && services_.waits() && now_ms() < deadline) {
    pollfd waiting{services_.fd(), services_.events(), 0};
    ::poll(&waiting, 1, static_cast<int>(kLastWordsMs));
  }
}

void LoginServer::refuse(const std::string& why) { services_.news(SshAsk::kRefused, why); }

ssh_channel LoginServer::open_session() {
  if (user_.empty() || !has_room()) return nullptr;
  ssh_channel channel = ssh_channel_new(session_);
  if (channel == nullptr) return nullptr;
  if (is_link_) {
    channels_.push_back(std::make_unique<SubsystemChannel>(channel, services_));
  } else {
    channels_.push_back(std::make_unique<SessionChannel>(channel, services_, user_));
  }
  return channel;
}

// 0: it was answered; 1: it is refused; 2: it is answered later (libssh.patch).
int LoginServer::on_message(ssh_message message) {
  const int type = ssh_message_type(message);
  const int subtype = ssh_message_subtype(message);
  if (type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_BREAK) {
    return on_break(ssh_message_channel_request_channel(message)) &&
                   ssh_message_channel_request_reply_success(message) == SSH_OK
               ? 0
               : 1;
  }
  if (type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_PTY) {
    return on_terminal(message) && ssh_message_channel_request_reply_success(message) == SSH_OK ? 0
                                                                                                : 1;
  }
  const bool forward = type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_DIRECT_TCPIP;
  if (!forward || user_.empty() || is_link_ || !has_room()) return 1;
  openings_.push_back(std::make_unique<ForwardOpening>(services_, message, user_));
  return 2;
}

SshChannel* LoginServer::find(ssh_channel channel) const {
  const auto found = std::find_if(channels_.begin(), channels_.end(),
                                  [channel](const auto& known) { return known->is(channel); });
  return found == channels_.end() ? nullptr : found->get();
}

bool LoginServer::on_break(ssh_channel channel) {
  SshChannel* const found = find(channel);
  return found != nullptr && found->on_break();
}

bool LoginServer::on_terminal(ssh_message message) {
  SshChannel* const found = find(ssh_message_channel_request_channel(message));
  const char* term = nullptr;
  int columns = 0;
  int rows = 0;
  const ssh_string modes = ssh_message_channel_request_pty(message, &term, &columns, &rows);
  if (found == nullptr || term == nullptr || modes == nullptr) return false;
  return found->on_terminal(term, columns, rows,
                            {ssh_string_get_char(modes), ssh_string_len(modes)});
}

bool LoginServer::has_room() {
  if (closing_) return false;
  if (channels_.size() + openings_.size() < kSshMaxChannels) return true;
  complain("more than " + std::to_string(kSshMaxChannels) + " channels");
  return false;
}

void LoginServer::complain(const std::string& why) {
  services_.complain("user " + shown_name(user_) + ": " + why);
}

void LoginServer::open_forwards() {
  for (size_t i = 0; i < openings_.size(); ++i) {
    openings_[i]->pump();
    if (!openings_[i]->over()) continue;
    if (auto channel = openings_[i]->answer()) channels_.push_back(std::move(channel));
  }
  std::erase_if(openings_, [](const auto& opening) { return opening->over(); });
}

}  // namespace tether
