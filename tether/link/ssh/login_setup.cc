// What a login's server offers, and what it has the library call.
#include <fcntl.h>

#include "tether/link/ssh/aes.h"
#include "tether/link/ssh/login_server.h"

namespace tether {
namespace {

// What has no known weakness and is in OpenSSH, libssh2 and Paramiko. The library adds strict key
// exchange by itself (CVE-2023-48795).
constexpr const char* kKeyExchange = "curve25519-sha256,curve25519-sha256@libssh.org";
constexpr const char* kHostKey = "ssh-ed25519";
constexpr const char* kCiphers =
    "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,"
    "aes128-ctr";
constexpr const char* kCiphersWithoutGcm = "chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
constexpr const char* kMacs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";
// libssh2 1.10, which is the host end of a secure link, has none of these.
constexpr const char* kLinkMacs =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256";
constexpr const char* kClientKeys =
    "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
    "ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

bool set(ssh_bind bind, ssh_bind_options_e what, const void* value) {
  return ssh_bind_options_set(bind, what, value) == SSH_OK;
}

}  // namespace

void LoginServer::prepare(int connection) {
  ::fcntl(connection, F_SETFL, O_NONBLOCK);
  prepared_ = set_up(connection);
}

bool LoginServer::set_up(int connection) {
  bind_ = ssh_bind_new();
  session_ = ssh_new();
  event_ = ssh_event_new();
  if (bind_ == nullptr || session_ == nullptr || event_ == nullptr) return false;
  const bool no = false;
  const char* macs = link_key_ ? kLinkMacs : kMacs;
  const char* ciphers = has_gcm() ? kCiphers : kCiphersWithoutGcm;
  const bool good = set(bind_, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) &&
                    set(bind_, SSH_BIND_OPTIONS_KEY_EXCHANGE, kKeyExchange) &&
                    set(bind_, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, kHostKey) &&
                    set(bind_, SSH_BIND_OPTIONS_CIPHERS_C_S, ciphers) &&
                    set(bind_, SSH_BIND_OPTIONS_CIPHERS_S_C, ciphers) &&
                    set(bind_, SSH_BIND_OPTIONS_HMAC_C_S, macs) &&
                    set(bind_, SSH_BIND_OPTIONS_HMAC_S_C, macs) &&
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

}  // namespace tether
