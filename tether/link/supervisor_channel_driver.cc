#include "tether/link/supervisor_channel_driver.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "common/scope_guard.h"

namespace tether {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

constexpr int kMessagesPerTurn = 128;
static_assert(kMessagesPerTurn > kMaxLinkPieces);  // which come before the endpoint's start
constexpr size_t kMaxFds = 2;

struct ReceivedFds {
  std::array<common::UniqueFd, kMaxFds> fds;
  size_t count = 0;
};

ReceivedFds take_fds(msghdr& message) {
  ReceivedFds out;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      common::UniqueFd owned(fd);
      if (out.count < kMaxFds) out.fds[out.count++] = std::move(owned);
    }
  }
  return out;
}

}  // namespace

SupervisorChannel::SupervisorChannel(asio::any_io_executor executor, common::UniqueFd socket)
    : socket_(std::move(executor), socket.release()),
      buffer_(sizeof(LinkHeader) + kLinkMaxPayload, '\0') {}

void SupervisorChannel::start(Handlers handlers) {
  handlers_ = std::move(handlers);
  on_readable();
}

void SupervisorChannel::close() {
  ended_ = true;
  ErrorCode ignored;
  socket_.close(ignored);
  handlers_ = {};
}

SupervisorChannel::Read SupervisorChannel::read_one() {
  iovec part{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return Read::kNothing;
  if (n <= 0) return Read::kEnd;
  ReceivedFds received = take_fds(message);
  const auto size = static_cast<size_t>(n);
  if (size < sizeof(LinkHeader) || (message.msg_flags & MSG_TRUNC) != 0) return Read::kMessage;
  LinkHeader header;
  std::memcpy(&header, buffer_.data(), sizeof header);
  handlers_.on_message(header, {buffer_.data() + sizeof header, size - sizeof header},
                       std::span(received.fds).first(received.count));
  return Read::kMessage;
}

void SupervisorChannel::on_readable() {
  const common::ScopeGuard again([this] { wait_readable(); });  // whatever a handler throws
  for (int i = 0; i < kMessagesPerTurn && !ended_; ++i) {
    const Read read = read_one();
    if (read == Read::kNothing) break;
    if (read == Read::kEnd) end();
  }
}

void SupervisorChannel::wait_readable() {
  if (ended_) return;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](ErrorCode error) {
                       if (self->ended_) return;
                       if (error) return self->end();
                       self->on_readable();
                     });
}

void SupervisorChannel::send(const LinkHeader& header, std::string_view payload) {
  if (send_at_once(header, payload)) return;
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes += payload;
  queue({std::move(bytes), {}});
}

// Without a copy, where nothing waits before it.
bool SupervisorChannel::send_at_once(const LinkHeader& header, std::string_view payload) {
  if (ended_ || !queue_.empty()) return false;
  std::array<iovec, 2> parts = {{{const_cast<LinkHeader*>(&header), sizeof header},
                                 {const_cast<char*>(payload.data()), payload.size()}}};
  msghdr raw{};
  raw.msg_iov = parts.data();
  raw.msg_iovlen = payload.empty() ? 1 : 2;
  return ::sendmsg(socket_.native_handle(), &raw, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void SupervisorChannel::send_fd(const LinkHeader& header, common::UniqueFd fd) {
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  queue({std::move(bytes), std::move(fd)});
}

void SupervisorChannel::queue(Message message) {
  if (ended_) return;
  if (queue_.size() >= kMaxQueued) return end();
  queue_.push_back(std::move(message));
  was_congested_ = was_congested_ || congested();
  if (!write_waiting_) flush();
}

ssize_t SupervisorChannel::send_one(const Message& message) {
  iovec part{const_cast<char*>(message.bytes.data()), message.bytes.size()};
  msghdr raw{};
  raw.msg_iov = &part;
  raw.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (message.fd) {
    raw.msg_control = control.data();
    raw.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&raw);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = message.fd.get();
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  return ::sendmsg(socket_.native_handle(), &raw, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void SupervisorChannel::flush() {
  while (!queue_.empty() && !ended_) {
    const ssize_t n = send_one(queue_.front());
    if (n >= 0) {
      queue_.pop_front();
    } else if (errno == EAGAIN) {
      write_waiting_ = true;
      socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                         [self = shared_from_this()](ErrorCode error) {
                           self->write_waiting_ = false;
                           if (!error) self->flush();
                         });
      return;
    } else if (errno != EINTR) {
      return end();
    }
  }
  if (!std::exchange(was_congested_, false) || ended_) return;
  // Not from within send(): whoever sends is not prepared to be called.
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (!self->ended_ && !self->congested()) self->handlers_.on_ready();
  });
}

void SupervisorChannel::end() {
  if (std::exchange(ended_, true)) return;
  queue_.clear();
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->handlers_.on_closed) self->handlers_.on_closed();
  });
}

}  // namespace tether
