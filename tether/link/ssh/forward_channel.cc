#include "tether/link/ssh/forward_channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "tether/link/ssh/services.h"

namespace tether {
namespace {

constexpr int kPatienceMs = 200;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

bool parse(const char* text, int port, Address& out) {
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    out.size = sizeof v4;
    return true;
  }
  if (::inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  out.size = sizeof v6;
  return true;
}

common::Result<common::UniqueFd> connect_to(const Address& address, const std::string& host) {
  common::UniqueFd socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return common::errno_error("socket", host);
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.get(), raw, address.size) == 0) return socket;
  if (errno != EINPROGRESS) return common::errno_error("connect to", host);
  pollfd waiting{socket.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, kPatienceMs) <= 0) return socket;
  int failed = 0;
  socklen_t size = sizeof failed;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
  if (failed != 0) return common::make_error(failed, "connect to", host);
  return socket;
}

}  // namespace

common::Result<common::UniqueFd> connect_forward(const std::string& host, int port) {
  Address address;
  if (port < 1 || port > 65535) return common::make_error(EINVAL, "connect to", host, "port");
  if (host == "localhost") {
    parse("127.0.0.1", port, address);
    auto socket = connect_to(address, host);
    if (socket.has_value()) return socket;
    address = {};
    parse("::1", port, address);
    return connect_to(address, host);
  }
  if (!parse(host.c_str(), port, address)) {
    return common::make_error(EINVAL, "connect to", host, "want an address or localhost");
  }
  return connect_to(address, host);
}

pollfd ForwardChannel::waits() const {
  const bool room = output_.size() < kMaxHeld && !output_ended_;
  const short events = static_cast<short>((room ? POLLIN : 0) | (input_.empty() ? 0 : POLLOUT));
  // Without either, only a hang-up would come, again and again.
  return {events == 0 ? -1 : socket_.get(), events, 0};
}

void ForwardChannel::work() {
  if (!send_some(socket_.get(), input_)) return close();
  if (input_ended_ && input_.empty() && !input_closed_) {
    input_closed_ = true;
    ::shutdown(socket_.get(), SHUT_WR);
  }
  if (output_.size() < kMaxHeld && !output_ended_) {
    output_ended_ = !receive_some(socket_.get(), output_);
  }
  output_.erase(0, write(output_));
  if (!output_ended_ || !output_.empty()) return;
  finish();
  if (input_closed_) close();
}

}  // namespace tether
