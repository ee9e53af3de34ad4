#include "tether/link/ssh/login_server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "protocol/stdio.h"
#include "tether/link/ssh/forward_channel.h"
#include "tether/link/ssh/session_channel.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

constexpr int kMaxAttempts = 3;
constexpr uint64_t kCheckMs = 10000;  // whether there is such a user
constexpr uint64_t kLastWordsMs = 1000;

// What has no known weakness and is in OpenSSH, libssh2 and Paramiko. The library adds strict key
// exchange by itself (CVE-2023-48795).
constexpr const char* kKeyExchange = "curve25519-sha256,curve25519-sha256@libssh.org";
constexpr const char* kHostKey = "ssh-ed25519";
constexpr const char* kCiphers =
    "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,"
    "aes128-ctr";
constexpr const char* kMacs =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
constexpr const char* kClientKeys =
    "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
    "ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

bool set(ssh_bind bind, ssh_bind_options_e what, const void* value) {
  return ssh_bind_options_set(bind, what, value) == SSH_OK;
}

}  // namespace

LoginServer::LoginServer(SshServices& services, SshKey host_key, std::vector<SshKey> authorized)
    : services_(services), host_key_(std::move(host_key)), authorized_(std::move(authorized)) {}

LoginServer::~LoginServer() {
  channels_.clear();
  if (event_ != nullptr) ssh_event_free(event_);
  if (session_ != nullptr) ssh_free(session_);
  if (bind_ != nullptr) ssh_bind_free(bind_);
}

bool LoginServer::prepare(int connection) {
  bind_ = ssh_bind_new();
  session_ = ssh_new();
  event_ = ssh_event_new();
  if (bind_ == nullptr || session_ == nullptr || event_ == nullptr) return false;
  const bool no = false;
  const bool good = set(bind_, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) &&
                    set(bind_, SSH_BIND_OPTIONS_KEY_EXCHANGE, kKeyExchange) &&
                    set(bind_, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, kHostKey) &&
                    set(bind_, SSH_BIND_OPTIONS_CIPHERS_C_S, kCiphers) &&
                    set(bind_, SSH_BIND_OPTIONS_CIPHERS_S_C, kCiphers) &&
                    set(bind_, SSH_BIND_OPTIONS_HMAC_C_S, kMacs) &&
                    set(bind_, SSH_BIND_OPTIONS_HMAC_S_C, kMacs) &&
                    set(bind_, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, kClientKeys) &&
                    set(bind_, SSH_BIND_OPTIONS_BANNER, "tether");
  // The library takes the key over.
  if (!good || !set(bind_, SSH_BIND_OPTIONS_IMPORT_KEY, host_key_.get())) return false;
  (void)host_key_.release();
  ssh_callbacks_init(&callbacks_);
  callbacks_.userdata = this;
  callbacks_.auth_pubkey_function = [](ssh_session, const char* user, ssh_key key, char signature,
                                       void* self) {
    return static_cast<LoginServer*>(self)->authenticate(user, key, signature);
  };
  callbacks_.channel_open_request_session_function = [](ssh_session, void* self) {
    return static_cast<LoginServer*>(self)->open_session();
  };
  ssh_set_server_callbacks(session_, &callbacks_);
  ssh_set_message_callback(
      session_,
      [](ssh_session, ssh_message message, void* self) {
        return static_cast<LoginServer*>(self)->on_message(message);
      },
      this);
  ssh_set_auth_methods(session_, SSH_AUTH_METHOD_PUBLICKEY);
  return ssh_bind_accept_fd(bind_, session_, connection) == SSH_OK;
}

bool LoginServer::exchange_keys(int connection) {
  ssh_set_blocking(session_, 0);
  for (;;) {
    const int done = ssh_handle_key_exchange(session_);
    if (done == SSH_OK) return true;
    if (done != SSH_AGAIN) return false;
    const int flags = ssh_get_poll_flags(session_);
    pollfd waiting{connection,
                   static_cast<short>(POLLIN | ((flags & SSH_WRITE_PENDING) != 0 ? POLLOUT : 0)),
                   0};
    ::poll(&waiting, 1, -1);
  }
}

void LoginServer::run(int connection) {
  ::fcntl(connection, F_SETFL, O_NONBLOCK);
  if (!prepare(connection)) return refuse(ssh_get_error(bind_));
  if (!exchange_keys(connection)) {
    return refuse(std::string("key exchange: ") + ssh_get_error(session_));
  }
  ssh_event_add_session(event_, session_);
  while (turn(connection)) continue;
  hang_up();
  if (user_.empty()) {
    refuse(last_refusal_.empty() ? "the client left before it logged in" : last_refusal_);
  } else {
    services_.news(SshAsk::kEnded, user_);
  }
}

// False: the client or the link process has gone.
bool LoginServer::turn(int connection) {
  std::vector<pollfd> waiting;
  const bool write = (ssh_get_poll_flags(session_) & SSH_WRITE_PENDING) != 0;
  waiting.push_back({connection, static_cast<short>(POLLIN | (write ? POLLOUT : 0)), 0});
  waiting.push_back({services_.fd(), services_.events(), 0});
  for (const auto& channel : channels_) waiting.push_back(channel->waits());
  if (::poll(waiting.data(), waiting.size(), -1) < 0) return errno == EINTR;
  if (ssh_event_dopoll(event_, 0) == SSH_ERROR) return false;
  if (!services_.pump()) return false;
  for (size_t i = 0; i < channels_.size(); ++i) channels_[i]->pump();
  sweep();
  if (attempts_ >= kMaxAttempts) return false;
  return ssh_is_connected(session_) != 0 &&
         (ssh_get_status(session_) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0;
}

void LoginServer::sweep() {
  std::erase_if(channels_, [](const auto& channel) { return channel->over(); });
}

void LoginServer::hang_up() {
  for (const auto& channel : channels_) {
    if (!channel->over()) channel->hang_up();
  }
  const uint64_t deadline = now_ms() + kLastWordsMs;
  while (services_.pump() && (services_.events() & POLLOUT) != 0 && now_ms() < deadline) {
    pollfd waiting{services_.fd(), POLLOUT, 0};
    ::poll(&waiting, 1, static_cast<int>(kLastWordsMs));
  }
}

void LoginServer::refuse(const std::string& why) { services_.news(SshAsk::kRefused, why); }

bool LoginServer::is_authorized(ssh_key key) const {
  return std::any_of(authorized_.begin(), authorized_.end(), [key](const SshKey& known) {
    return ssh_key_cmp(known.get(), key, SSH_KEY_CMP_PUBLIC) == 0;
  });
}

int LoginServer::authenticate(const char* user, ssh_key key, int signature) {
  if (attempts_ >= kMaxAttempts || !user_.empty()) return SSH_AUTH_DENIED;
  const bool asks = signature == SSH_PUBLICKEY_STATE_NONE;
  std::string why;
  if (!is_authorized(key)) {
    why = "key " + fingerprint(key) + " is not authorized";
  } else if (asks) {
    return SSH_AUTH_SUCCESS;  // It may prove that it has the key.
  } else if (signature != SSH_PUBLICKEY_STATE_VALID) {
    why = "bad signature";
  } else if (!user_exists(user)) {
    why = "the container has no such user";
  } else {
    user_ = user;
    ::alarm(0);  // ssh_main() set it
    services_.news(SshAsk::kLoggedIn, user_ + ", key " + fingerprint(key));
    return SSH_AUTH_SUCCESS;
  }
  ++attempts_;
  last_refusal_ = std::string("user ") + user + ": " + why;
  return SSH_AUTH_DENIED;
}

// Nothing else can go on in a login that nobody has logged in to: this waits.
bool LoginServer::user_exists(const std::string& user) {
  SshServices::Request request;
  request.mutable_exec()->mutable_login()->set_kind(::tether::v1::Login::CHECK);
  request.mutable_exec()->mutable_session()->set_user(user);
  uint32_t session = 0;
  bool answered = false;
  const uint64_t deadline = now_ms() + kCheckMs;
  const auto id = services_.ask(std::move(request), [&](const SshServices::Reply& reply) {
    answered = true;
    session = reply.session();
  });
  if (id.empty()) return false;
  while (!answered && now_ms() < deadline && services_.pump()) {
    pollfd waiting{services_.fd(), services_.events(), 0};
    if (!answered) ::poll(&waiting, 1, static_cast<int>(kCheckMs));
  }
  services_.forget(id);
  if (session == 0) return false;
  const common::UniqueFd agent = services_.open(SshAsk::kServeStdio);
  protocol::StdioAttach wanted;
  wanted.session = session;
  std::string out = protocol::encode_frame(protocol::StdioType::kAttach, protocol::Stream::kStdin,
                                           0, encode(wanted));
  std::string in;
  protocol::StdioReader reader;
  while (now_ms() < deadline && send_some(agent.get(), out) && receive_some(agent.get(), in)) {
    reader.feed(std::exchange(in, {}));
    while (const auto frame = reader.next()) {
      if (frame->header.type != protocol::StdioType::kExit) continue;
      const auto exit = protocol::decode_exit(frame->payload);
      out += protocol::encode_frame(protocol::StdioType::kExitAck, protocol::Stream::kStdin, 0);
      (void)send_some(agent.get(), out);
      return exit && exit->exit_code == 0 && exit->stage == 0;
    }
    pollfd waiting{agent.get(), static_cast<short>(POLLIN | (out.empty() ? 0 : POLLOUT)), 0};
    ::poll(&waiting, 1, static_cast<int>(kCheckMs));
  }
  return false;
}

ssh_channel LoginServer::open_session() {
  if (user_.empty() || !has_room()) return nullptr;
  ssh_channel channel = ssh_channel_new(session_);
  if (channel == nullptr) return nullptr;
  channels_.push_back(std::make_unique<SessionChannel>(channel, services_, user_));
  return channel;
}

// 0: it was answered; 1: it is refused.
int LoginServer::on_message(ssh_message message) {
  const bool forward = ssh_message_type(message) == SSH_REQUEST_CHANNEL_OPEN &&
                       ssh_message_subtype(message) == SSH_CHANNEL_DIRECT_TCPIP;
  if (!forward || user_.empty() || !has_room()) return 1;
  const char* host = ssh_message_channel_request_open_destination(message);
  auto socket = connect_forward(host == nullptr ? "" : host,
                                ssh_message_channel_request_open_destination_port(message));
  if (socket.has_error()) return 1;
  ssh_channel channel = ssh_message_channel_request_open_reply_accept(message);
  if (channel == nullptr) return 1;
  channels_.push_back(std::make_unique<ForwardChannel>(channel, std::move(*socket)));
  return 0;
}

}  // namespace tether
