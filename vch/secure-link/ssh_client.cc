#include <libssh2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "vch/secure-link/base64.h"
#include "vch/secure-link/secure_link.h"

namespace vch {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLoginTime = 30s;  // the agent's own deadline
constexpr size_t kMaxAnswer = 256;
constexpr size_t kPiece = 8 * 1024;  // small: who types waits for what is on its way already
constexpr unsigned kWindow = 32 * 1024;
constexpr unsigned kPacket = 16 * 1024;

// One of each: whoever changes what is agreed on leaves nothing to agree on. libssh2 1.10 has no
// strict key exchange (CVE-2023-48795); with a counter mode and a MAC over the plaintext, which
// counts packets, a packet that is left out ends the connection at the next one.
struct Method {
  int what;
  const char* name;
};
constexpr std::array<Method, 8> kMethods = {{{LIBSSH2_METHOD_KEX, "curve25519-sha256"},
                                             {LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519"},
                                             {LIBSSH2_METHOD_CRYPT_CS, "aes256-ctr"},
                                             {LIBSSH2_METHOD_CRYPT_SC, "aes256-ctr"},
                                             {LIBSSH2_METHOD_MAC_CS, "hmac-sha2-256"},
                                             {LIBSSH2_METHOD_MAC_SC, "hmac-sha2-256"},
                                             {LIBSSH2_METHOD_COMP_CS, "none"},
                                             {LIBSSH2_METHOD_COMP_SC, "none"}}};

struct SessionDeleter {
  void operator()(LIBSSH2_SESSION* session) const { libssh2_session_free(session); }
};

// The line has ended, or said nothing; whoever ended it had a reason that this end does not see.
bool is_loss(int code) {
  switch (code) {
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
    case LIBSSH2_ERROR_TIMEOUT:
    case LIBSSH2_ERROR_BANNER_RECV:
      return true;
    default:
      return false;
  }
}

class Client {
 public:
  using End = std::optional<SecureLinkEnd>;  // none: go on

  Client(int wire, int plain, const SecureLinkKeys& keys)
      : wire_(wire), plain_(plain), keys_(keys) {}
  SecureLinkEnd run(const std::function<void()>& on_up);

 private:
  End wait_for_answer();
  End begin();
  End check_host_key();
  End log_in();
  End open_channel();
  SecureLinkEnd relay();
  enum class Call { kNone, kRead, kWrite };
  End move_down(bool& moved);
  End move_up(bool& moved);
  void wait_to_move();
  bool may(Call call) const { return unfinished_ == Call::kNone || unfinished_ == call; }
  void note(Call call, ssize_t code);
  void wait_for_wire(Clock::duration most);
  // Does something of the library's to its end, or to the deadline's.
  template <typename Step>
  int finish(Step step);
  SecureLinkEnd failed(const std::string& what, int code);

  const int wire_, plain_;
  const SecureLinkKeys& keys_;
  Clock::time_point deadline_;
  std::unique_ptr<LIBSSH2_SESSION, SessionDeleter> session_;
  LIBSSH2_CHANNEL* channel_ = nullptr;  // the session's
  std::array<char, kPiece> piece_;
  std::string up_, down_;  // what has been read and not yet written
  Call unfinished_ = Call::kNone;
};

SecureLinkEnd Client::failed(const std::string& what, int code) {
  char* text = nullptr;
  libssh2_session_last_error(session_.get(), &text, nullptr, 0);
  std::string why = what + ": ";
  why += code == LIBSSH2_ERROR_TIMEOUT ? "not done within 30 s" : text;
  return {!is_loss(code), why + " (libssh2 " + std::to_string(code) + ")"};
}

void Client::wait_for_wire(Clock::duration most) {
  const int directions = libssh2_session_block_directions(session_.get());
  short events = (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0 ? POLLOUT : 0;
  if ((directions & LIBSSH2_SESSION_BLOCK_INBOUND) != 0 || events == 0) events |= POLLIN;
  pollfd waiting{wire_, events, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(most).count();
  ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(ms, 0) + 1));
}

template <typename Step>
int Client::finish(Step step) {
  for (;;) {
    const int code = step();
    if (code != LIBSSH2_ERROR_EAGAIN) return code;
    const auto now = Clock::now();
    if (now >= deadline_) return LIBSSH2_ERROR_TIMEOUT;
    wait_for_wire(deadline_ - now);
  }
}

// A byte at a time: what follows the line is the library's.
Client::End Client::wait_for_answer() {
  std::string line;
  while (line.size() < kMaxAnswer) {
    char byte = 0;
    pollfd waiting{wire_, POLLIN, 0};
    ::poll(&waiting, 1, -1);
    const ssize_t n = ::recv(wire_, &byte, 1, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return SecureLinkEnd{false, "the line was lost"};
    if (byte != '\n') {
      line += byte;
      continue;
    }
    if (line == "OK") return {};
    break;
  }
  constexpr std::string_view kError = "ERROR ";
  if (line.starts_with(kError)) line.erase(0, kError.size());
  return SecureLinkEnd{true, "service ssh: " + line};
}

Client::End Client::begin() {
  session_.reset(libssh2_session_init());
  if (!session_) return SecureLinkEnd{false, "libssh2: out of memory"};
  libssh2_session_set_blocking(session_.get(), 0);
  for (const auto& [what, name] : kMethods) {
    const int code = libssh2_session_method_pref(session_.get(), what, name);
    if (code != 0) return failed(name, code);
  }
  deadline_ = Clock::now() + kLoginTime;
  const int code = finish([this] { return libssh2_session_handshake(session_.get(), wire_); });
  if (code == 0) return {};
  auto end = failed("key exchange", code);
  if (end.refused) end.why += "; the line is tampered with, or the agent is of another time";
  return end;
}

// That the other end has the key was proved in the key exchange; that it is the right one is not
// the library's concern.
Client::End Client::check_host_key() {
  size_t size = 0;
  int type = 0;
  const char* key = libssh2_session_hostkey(session_.get(), &size, &type);
  const char* hash = libssh2_hostkey_hash(session_.get(), LIBSSH2_HOSTKEY_HASH_SHA256);
  if (key == nullptr || hash == nullptr) return SecureLinkEnd{true, "the machine has no key"};
  if ("ssh-ed25519 " + to_base64({key, size}) == keys_.host_key) return {};
  return SecureLinkEnd{true, "another machine is on the line: its key is " +
                                 fingerprint_text({hash, 32}) + ", not the container's"};
}

Client::End Client::log_in() {
  const int code = finish([this] {
    return libssh2_userauth_publickey_frommemory(
        session_.get(), kSecureLinkUser, std::strlen(kSecureLinkUser), nullptr, 0,
        keys_.private_key.data(), keys_.private_key.size(), nullptr);
  });
  if (code != 0) return failed("log in with this host's key", code);
  return {};
}

Client::End Client::open_channel() {
  const int opened = finish([this] {
    channel_ = libssh2_channel_open_ex(session_.get(), "session", 7, kWindow, kPacket, nullptr, 0);
    return channel_ != nullptr ? 0 : libssh2_session_last_errno(session_.get());
  });
  if (opened != 0) return failed("open a channel", opened);
  const int asked = finish([this] {
    return libssh2_channel_process_startup(
        channel_, "subsystem", 9, kSecureLinkSubsystem,
        static_cast<unsigned>(std::strlen(kSecureLinkSubsystem)));
  });
  if (asked != 0) return failed("subsystem tether", asked);
  return {};
}

// The library has room for one packet that the line did not take whole, be it of a read, which
// opens the window: until the same call has sent the rest of it any other that sends fails.
void Client::note(Call call, ssize_t code) {
  const bool out =
      (libssh2_session_block_directions(session_.get()) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
  unfinished_ = code == LIBSSH2_ERROR_EAGAIN && out ? call : Call::kNone;
}

// From the guest to this host.
Client::End Client::move_down(bool& moved) {
  if (down_.empty() && may(Call::kRead)) {
    const ssize_t n = libssh2_channel_read(channel_, piece_.data(), piece_.size());
    note(Call::kRead, n);
    if (n > 0) {
      down_.assign(piece_.data(), static_cast<size_t>(n));
    } else if (n != LIBSSH2_ERROR_EAGAIN && n < 0) {
      return failed("read", static_cast<int>(n));
    } else if (libssh2_channel_eof(channel_) != 0) {
      return SecureLinkEnd{false, "the agent has closed it"};
    }
  }
  if (down_.empty()) return {};
  const ssize_t n = ::send(plain_, down_.data(), down_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return SecureLinkEnd{false, "given up"};
  if (n > 0) {
    down_.erase(0, static_cast<size_t>(n));
    moved = true;
  }
  return {};
}

Client::End Client::move_up(bool& moved) {
  if (up_.empty()) {
    const ssize_t n = ::recv(plain_, piece_.data(), piece_.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      return SecureLinkEnd{false, "given up"};
    }
    if (n > 0) up_.assign(piece_.data(), static_cast<size_t>(n));
  }
  if (up_.empty() || !may(Call::kWrite)) return {};
  const ssize_t n = libssh2_channel_write(channel_, up_.data(), up_.size());
  note(Call::kWrite, n);
  if (n < 0 && n != LIBSSH2_ERROR_EAGAIN) return failed("write", static_cast<int>(n));
  if (n > 0) {
    up_.erase(0, static_cast<size_t>(n));
    moved = true;
  }
  return {};
}

void Client::wait_to_move() {
  const int directions = libssh2_session_block_directions(session_.get());
  const bool out = (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
  // While this host takes nothing, nothing is taken from the wire, but for room to write; and
  // nothing while a packet is not sent, which the agent takes though it is not heard.
  const bool in = unfinished_ == Call::kNone && (down_.empty() || !up_.empty());
  std::array<pollfd, 2> waiting = {
      pollfd{wire_, static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0)), 0},
      pollfd{plain_, static_cast<short>((up_.empty() ? POLLIN : 0) | (down_.empty() ? 0 : POLLOUT)),
             0}};
  ::poll(waiting.data(), waiting.size(), -1);
}

// Whatever ends it, another login may go well.
SecureLinkEnd Client::relay() {
  for (;;) {
    bool moved = false;
    End end = move_down(moved);
    if (!end) end = move_up(moved);
    // To write, the library has looked at what came: that is not on the wire any more.
    if (!end && !moved) end = move_down(moved);
    if (end) return {false, end->why};
    if (!moved) wait_to_move();
  }
}

SecureLinkEnd Client::run(const std::function<void()>& on_up) {
  if (const auto end = wait_for_answer()) return *end;
  if (const auto end = begin()) return *end;
  if (const auto end = check_host_key()) return *end;
  if (const auto end = log_in()) return *end;
  if (const auto end = open_channel()) return *end;
  on_up();
  return relay();
}

}  // namespace

SecureLinkEnd run_secure_link(int wire, int plain, const SecureLinkKeys& keys,
                              const std::function<void()>& on_up) {
  return Client(wire, plain, keys).run(on_up);
}

}  // namespace vch
