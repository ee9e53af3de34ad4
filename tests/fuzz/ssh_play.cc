#include "ssh_play.h"

#include <sys/socket.h>

#include "tether/link/ssh/ssh_role.h"

namespace tether {

using serial_transport::require;

namespace {

constexpr unsigned kMostActions = 400;
constexpr unsigned kMostChecks = 20;
constexpr unsigned kMostStepsAfter = 5000;
constexpr size_t kMostSent = 1U << 20U;
constexpr unsigned kFirstChannel = 43;  // the library's
constexpr std::array kTypes = {"session",
                               "direct-tcpip",
                               "forwarded-tcpip",
                               "x11",
                               "direct-streamlocal@openssh.com",
                               "auth-agent@openssh.com"};
constexpr std::array kHosts = {"127.0.0.1", "localhost", "::1", "a.name", "", "no name", "1.2.3"};
constexpr std::array kRequests = {
    "exec",   "shell", "subsystem", "pty-req", "env",         "window-change",
    "signal", "break", "xon-xoff",  "x11-req", "exit-status", "auth-agent-req@openssh.com"};
constexpr std::array kWords = {"sftp", "tether", "TERM", "LC_ALL", "cat", "KILL", "HUP", "xterm"};

void add32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xffU);
}

std::string string_of(std::string_view bytes) {
  std::string out;
  add32(out, static_cast<uint32_t>(bytes.size()));
  return out.append(bytes);
}

std::string framed(const std::string& payload) {
  const size_t padding = 8 + (8 - (payload.size() + 5) % 8) % 8;
  std::string out;
  add32(out, static_cast<uint32_t>(payload.size() + 1 + padding));
  out += static_cast<char>(padding);
  return out + payload + std::string(padding, '\0');
}

std::string key_blob(unsigned char key) {
  return string_of("ssh-ed25519") + string_of(std::string(32, static_cast<char>(key)));
}

}  // namespace

SshPlay* ssh_play = nullptr;

SshPlay::SshPlay(FuzzInput& input, int& connection, int& requests) : input_(input) {
  int ends[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
          "sockets");
  client_.reset(ends[0]);
  connection = ends[1];
  require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
          "sockets");
  asks_.reset(ends[0]);
  requests = ends[1];
  begin();
}

// How far the client comes by itself: not at all, to its banner, to encryption (which is none), to
// a login of a user or of the link's.
void SshPlay::begin() {
  const unsigned stage = input_.byte() % 5;
  if (stage >= 1) say("SSH-2.0-fuzz\r\n");
  if (stage >= 2) key_exchange();
  if (stage == 3) log_in("root", 'k');
  if (stage == 3) checks_ = kMostChecks;
  if (stage == 4) log_in(kSshLinkUser, 'l');
}

void SshPlay::key_exchange() {
  std::string init = "\x14" + std::string(16, 'c');
  const char* kex = input_.byte() % 2 == 0 ? "curve25519-sha256"
                                           : "curve25519-sha256,kex-strict-c-v00@openssh.com";
  for (const char* names :
       {kex, "ssh-ed25519", "none", "none", "none", "none", "none", "none", "", ""}) {
    init += string_of(names);
  }
  packet(init + std::string(5, '\0'));
  packet("\x1e" + string_of(std::string(32, 'q')));
  packet("\x15");
}

void SshPlay::log_in(const char* user, unsigned char key) {
  packet("\x05" + string_of("ssh-userauth"));
  packet("\x32" + string_of(user) + string_of("ssh-connection") + string_of("publickey") + "\x01" +
         string_of("ssh-ed25519") + string_of(key_blob(key)) +
         string_of(string_of("ssh-ed25519") + string_of(std::string(64, 's'))));
}

void SshPlay::say(std::string_view bytes) {
  if (!client_ || sent_ > kMostSent) return;
  const ssize_t n = ::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0) sent_ += static_cast<size_t>(n);
}

void SshPlay::packet(std::string payload, unsigned count) {
  last_ = framed(payload);
  for (unsigned i = 0; i < count; ++i) say(last_);
}

std::string SshPlay::text(size_t most) {
  const auto bytes = input_.bytes(input_.below(most));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string SshPlay::channel() {
  std::string out;
  const uint8_t which = input_.byte();
  add32(out, which < 200   ? kFirstChannel + which % 8
             : which < 250 ? kFirstChannel + which % 140
                           : static_cast<uint32_t>(input_.number(4)));
  return out;
}

std::string SshPlay::some_string(size_t most) {
  const uint8_t which = input_.byte();
  return string_of(which < 128 ? std::string(kWords[which % kWords.size()]) : text(most));
}

void SshPlay::open_channel() {
  const uint8_t which = input_.byte();
  const std::string type = kTypes[which % kTypes.size()];
  std::string payload = "\x5a" + string_of(type);
  add32(payload, static_cast<uint32_t>(input_.byte()));
  add32(payload, which >= 128 ? static_cast<uint32_t>(input_.number(4)) : 1U << 20U);
  const bool small = which >= 224;  // too small for any packet, perhaps
  add32(payload, small          ? input_.byte()
                 : which >= 192 ? static_cast<uint32_t>(input_.number(4))
                                : 1U << 15U);
  if (type.starts_with("direct")) {
    const uint8_t host = input_.byte();
    payload += string_of(host < 200 ? std::string(kHosts[host % kHosts.size()]) : text(300));
    add32(payload, host % 2 == 0 ? 80 : static_cast<uint32_t>(input_.number(4)));
    payload += string_of("127.0.0.1");
    add32(payload, 1);
  }
  payload += text(8);
  packet(payload, 1 + input_.byte() % 4 * (which % 64));
}

void SshPlay::ask_channel() {
  const std::string name = kRequests[input_.byte() % kRequests.size()];
  std::string payload = "\x62" + channel() + string_of(name);
  payload += static_cast<char>(input_.byte() % 2);
  if (name == "exec" || name == "subsystem" || name == "signal") payload += some_string(300);
  if (name == "env") payload += some_string(80);
  if (name == "env") payload += some_string(5000);
  if (name == "pty-req") payload += some_string(5000);
  if (name == "pty-req" || name == "window-change") {
    for (int i = 0; i < 4; ++i) add32(payload, static_cast<uint32_t>(input_.number(2)));
  }
  if (name == "pty-req") payload += some_string(100);
  packet(payload + text(16));
}

void SshPlay::channel_data() {
  const uint8_t which = input_.byte();
  std::string payload = (which % 4 == 3 ? "\x5f" : "\x5e") + channel();
  if (which % 4 == 3) add32(payload, which / 4 % 3);
  payload += which < 64 ? string_of(std::string(input_.below(40000), 'd')) : some_string(2000);
  packet(payload, 1 + which % 32);
}

// Those with a channel and little else, and what the transport itself says.
void SshPlay::short_message() {
  static constexpr std::array<uint8_t, 20> kKinds = {0x5d, 0x60, 0x61, 0x5d, 0x60, 0x61, 0x5b,
                                                     0x5c, 0x63, 0x64, 0x50, 0x51, 0x52, 0x01,
                                                     0x02, 0x03, 0x04, 0x05, 0x07, 0x14};
  std::string payload(1, static_cast<char>(kKinds[input_.byte() % kKinds.size()]));
  payload += channel();
  if (payload[0] == 0x5d) add32(payload, static_cast<uint32_t>(input_.number(4)));
  packet(payload + text(100));
}

void SshPlay::act() {
  switch (input_.byte() % 16) {
    case 0:
      return say(text(600));
    case 1:
      return packet(text(600));
    case 2:
    case 3:
      return open_channel();
    case 4:
    case 5:
      return ask_channel();
    case 6:
    case 7:
      return channel_data();
    case 8:
      return short_message();
    case 9:
    case 10:
      return answer_control();
    case 11:
    case 12:
      return answer_stdio();
    case 13:
      return forget();
    case 14:
      for (unsigned i = input_.byte() % 160; i > 0 && !last_.empty(); --i) say(last_);
      return;
    default:
      return drain();
  }
}

void SshPlay::step() {
  take_asks();
  if (checks_ > 0 && let_in()) return;
  if (!left_ && actions_++ < kMostActions && !input_.empty()) return act();
  if (!left_) leave();
  drain();
  require(++steps_after_ < kMostStepsAfter, "a login ends when client and link process have gone");
}

// The client's end first: what was said before still counts.
void SshPlay::leave() {
  left_ = true;
  ::shutdown(client_.get(), SHUT_WR);
  control_.clear();
  others_.clear();
}

void SshPlay::drain() {
  std::array<char, 1U << 16U> bytes;
  while (::recv(client_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) continue;
  for (const auto& other : others_) {
    while (::recv(other.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) continue;
  }
}

}  // namespace tether
