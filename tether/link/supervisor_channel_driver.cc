#include "tether/link/supervisor_channel_driver.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "common/fd_message.h"
#include "common/scope_guard.h"

namespace tether {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

constexpr int kMessagesPerTurn = 128;
static_assert(kMessagesPerTurn > kMaxLinkPieces);  // which come before the endpoint's start
constexpr size_t kMaxFds = 2;

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
  common::FdRoom<kMaxFds> room;
  msghdr message = room.message(part);
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return Read::kNothing;
  if (n <= 0) return Read::kEnd;
  std::array<common::UniqueFd, kMaxFds> fds;
  const size_t count = common::take_fds(message, fds);
  const auto size = static_cast<size_t>(n);
  if (size < sizeof(LinkHeader) || (message.msg_flags & MSG_TRUNC) != 0) return Read::kMessage;
  LinkHeader header;
  std::memcpy(&header, buffer_.data(), sizeof header);
  handlers_.on_message(header, {buffer_.data() + sizeof header, size - sizeof header},
                       std::span(fds).first(count));
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
  const std::array<iovec, 2> parts = {{{const_cast<LinkHeader*>(&header), sizeof header},
                                       {const_cast<char*>(payload.data()), payload.size()}}};
  const auto used = std::span(parts).first(payload.empty() ? 1 : 2);
  return common::send_fds(socket_.native_handle(), used, {}, MSG_DONTWAIT) >= 0;
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
  const iovec part{const_cast<char*>(message.bytes.data()), message.bytes.size()};
  const int fd = message.fd.get();
  const std::span<const int> fds(&fd, message.fd ? 1U : 0U);
  return common::send_fds(socket_.native_handle(), {&part, 1}, fds, MSG_DONTWAIT);
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
