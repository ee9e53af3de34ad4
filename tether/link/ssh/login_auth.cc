// Who may log in.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tether/link/ssh/login_server.h"
#include "tether/link/ssh/short_session.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

// Whether there is such a user. The container may be busy, and that is no reason to refuse anybody.
constexpr uint64_t kCheckMs = 60000;

}  // namespace

bool LoginServer::is_authorized(ssh_key key) const {
  return std::any_of(authorized_.begin(), authorized_.end(), [key](const SshKey& known) {
    return ssh_key_cmp(known.get(), key, SSH_KEY_CMP_PUBLIC) == 0;
  });
}

bool LoginServer::is_link_key(ssh_key key) const {
  return link_key_ && ssh_key_cmp(link_key_.get(), key, SSH_KEY_CMP_PUBLIC) == 0;
}

int LoginServer::authenticate(const char* user, ssh_key key, int signature) {
  if (attempts_ >= kMaxAttempts || !user_.empty()) return SSH_AUTH_DENIED;
  const bool asks = signature == SSH_PUBLICKEY_STATE_NONE;
  const bool link = is_link_key(key);
  std::string why;
  if (link && std::string_view(user) != kSshLinkUser) {
    why = "the link's key is for the user vch alone";
  } else if (!link && !is_authorized(key)) {
    why = "key " + fingerprint(key) + " is not authorized";
  } else if (asks) {
    return SSH_AUTH_SUCCESS;                            // It may prove that it has the key.
  } else if (signature == SSH_PUBLICKEY_STATE_ERROR) {  // libssh.patch
    why = "key " + fingerprint(key) + " signed without a touch";
  } else if (signature != SSH_PUBLICKEY_STATE_VALID) {
    why = "bad signature";
  } else if (!link && !user_exists(user)) {
    why = "the container has no such user";
  } else {
    user_ = user;
    is_link_ = link;
    ::alarm(0);  // set_login_deadline() set it
    services_.news(SshAsk::kLoggedIn, shown_name(user_) + ", key " + fingerprint(key));
    return SSH_AUTH_SUCCESS;
  }
  ++attempts_;
  last_refusal_ = "user " + shown_name(user) + ": " + why;
  return SSH_AUTH_DENIED;
}

// Nothing else can go on in a login that nobody has logged in to: this waits.
bool LoginServer::user_exists(const std::string& user) {
  const unsigned left = ::alarm(0);  // Who has proved his key does not hang about.
  ShortSession check(services_, ::tether::v1::Login::CHECK, user);
  const uint64_t deadline = now_ms() + kCheckMs;
  while (!check.over() && now_ms() < deadline && services_.pump()) {
    check.pump();
    if (check.over()) break;
    std::array<pollfd, 2> waiting = {{{services_.fd(), services_.events(), 0}, check.waits()}};
    ::poll(waiting.data(), waiting.size(), static_cast<int>(kCheckMs));
  }
  if (!check.worked()) ::alarm(std::max(left, 1U));
  return check.worked();
}

}  // namespace tether
