#include "vch/machine/link_tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <string>

#include "common/io.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::UniqueFd;

constexpr size_t kMaxFile = 64;
// A line that was cut without a word is given up when it has taken nothing for so long.
constexpr unsigned kGiveUpMs = 10000;

// Accepted sockets have it from the one that listens.
void send_at_once(const UniqueFd& socket) {
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

Result<sockaddr_in> parse_place(const std::string& text, const std::string& path) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = text.find(':');
  uint16_t port = 0;
  const char* end = text.data() + std::min(text.find('\n'), text.size());
  if (colon != std::string::npos) {
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    const std::string host = text.substr(0, colon);
    address.sin_port = htons(port);
    if (parsed.ec == std::errc() && parsed.ptr == end && port != 0 &&
        ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1) {
      return address;
    }
  }
  return make_error(EBADMSG, "read", path, "'" + text + "', want ADDRESS:PORT");
}

}  // namespace

Result<UniqueFd> make_link_listener(const Container& container) {
  const std::string path = container.file(kLinkTcpFile);
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno_error("make a socket for", "the link");
  send_at_once(socket);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), raw, size) != 0 || ::listen(socket.get(), 1) != 0 ||
      ::getsockname(socket.get(), raw, &size) != 0) {
    return errno_error("listen on", "127.0.0.1");
  }
  const std::string place = "127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "\n";
  RETURN_IF_ERROR(common::write_file_atomically(path, place, 0600));
  return socket;
}

Result<UniqueFd> open_link_tcp(const Container& container) {
  const std::string path = container.file(kLinkTcpFile);
  ASSIGN_OR_RETURN(const std::string text, common::read_file(path, kMaxFile));
  ASSIGN_OR_RETURN(const sockaddr_in address, parse_place(text, path));
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno_error("make a socket for", "the link");
  send_at_once(socket);
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kGiveUpMs, sizeof kGiveUpMs);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket.get(), raw, sizeof address) != 0 && errno != EINPROGRESS) {
    return errno_error("connect to", text.substr(0, text.find('\n')));
  }
  return socket;
}

}  // namespace vch
