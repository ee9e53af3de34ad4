#include "tether/link/ssh/forward_opening.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace tether {
namespace {

constexpr size_t kMaxName = 253;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

bool parse(const std::string& text, int port, Address& out) {
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    out.size = sizeof v4;
    return true;
  }
  if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  out.size = sizeof v6;
  return true;
}

bool may_be_name(const std::string& text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

// An invalid one, with errno: it cannot be.
common::UniqueFd begin_to_connect(const Address& address) {
  common::UniqueFd socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return {};
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.get(), raw, address.size) == 0 || errno == EINPROGRESS) return socket;
  const int why = errno;
  socket.reset();
  errno = why;
  return {};
}

}  // namespace

ForwardOpening::ForwardOpening(SshServices& services, ssh_message message, const std::string& user)
    : message_(message), port_(ssh_message_channel_request_open_destination_port(message)) {
  const char* asked = ssh_message_channel_request_open_destination(message);
  const std::string host = asked == nullptr ? "" : asked;
  Address address;
  if (port_ < 1 || port_ > 65535) {
    why_ = "There is no such port";
    over_ = true;
  } else if (host == "localhost") {
    addresses_ = {"127.0.0.1", "::1"};
    try_next();
  } else if (parse(host, port_, address)) {
    addresses_ = {host};
    try_next();
  } else if (may_be_name(host)) {
    lookup_.emplace(services, ::tether::v1::Login::RESOLVE, user, host);
  } else {
    over_ = true;
  }
}

ForwardOpening::~ForwardOpening() {
  if (message_ != nullptr) ssh_message_free(message_);
}

void ForwardOpening::try_next() {
  socket_.reset();
  while (!socket_ && !addresses_.empty()) {
    Address address;
    if (parse(addresses_.front(), port_, address)) {
      socket_ = begin_to_connect(address);
      if (!socket_) why_ = ::strerrordesc_np(errno);
    }
    addresses_.pop_front();
  }
  if (!socket_) over_ = true;
}

pollfd ForwardOpening::waits() const {
  if (lookup_) return lookup_->waits();
  return {socket_.get(), POLLOUT, 0};
}

void ForwardOpening::pump() {
  if (lookup_) {
    lookup_->pump();
    if (!lookup_->over()) return;
    const std::string found = lookup_->output();
    for (size_t at = 0; at < found.size();) {
      const size_t end = std::min(found.find('\n', at), found.size());
      addresses_.push_back(found.substr(at, end - at));
      at = end + 1;
    }
    lookup_.reset();
    try_next();
  }
  while (!over_) {
    pollfd waiting = waits();
    if (::poll(&waiting, 1, 0) <= 0) return;
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed == 0) {
      over_ = true;
    } else {
      why_ = ::strerrordesc_np(failed);
      try_next();
    }
  }
}

std::unique_ptr<ForwardChannel> ForwardOpening::answer() {
  if (!socket_) {
    ssh_message_channel_request_open_reply_failed(message_, why_);
    return {};
  }
  ssh_channel channel = ssh_message_channel_request_open_reply_accept(message_);
  if (channel == nullptr) return {};
  return std::make_unique<ForwardChannel>(channel, std::move(socket_));
}

}  // namespace tether
