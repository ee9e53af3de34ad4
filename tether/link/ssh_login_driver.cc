#include "tether/link/ssh_login_driver.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "common/fd_message.h"
#include "common/scope_guard.h"
#include "tether/link/spawn_task.h"

namespace tether {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using LocalSocket = asio::local::stream_protocol::socket;
using RequestSocket = asio::posix::stream_descriptor;

constexpr int kTasks = 3;  // of a login
constexpr int kRequestsPerTurn = 32;
constexpr int kMostNews = 64;  // an honest one has fewer: SshServices::kMostComplaints

// What goes without waiting; 0 also for what fails.
size_t send_now(LocalSocket& socket, const asio::const_buffer& bytes) {
  const ssize_t size =
      ::send(socket.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

}  // namespace

void SshLogin::start() {
  tasks_ = kTasks;
  const auto executor = connection_->get_executor();
  const auto on_escape = [self = shared_from_this()] { self->stop(); };
  spawn_task(executor, "an SSH client's words", up_task(shared_from_this()), on_escape);
  spawn_task(executor, "an SSH login's words", down_task(shared_from_this()), on_escape);
  spawn_task(executor, "an SSH login's requests", request_task(shared_from_this()), on_escape);
}

void SshLogin::stop() {
  if (std::exchange(gone_, true)) return;
  sessions_->end();
  connection_->reset();
  port_ready_.cancel();
  ErrorCode ignored;
  wire_.close(ignored);
  requests_.close(ignored);
}

void SshLogin::leave(std::function<void()> then) {
  leaving_ = true;
  on_left_ = std::move(then);
  connection_->cancel();
  port_ready_.cancel();
  ErrorCode ignored;
  wire_.cancel(ignored);
  requests_.cancel(ignored);
  if (tasks_ == 0) on_task_end();
}

void SshLogin::on_task_end() {
  if (tasks_ > 0) --tasks_;
  if (tasks_ > 0 || !on_left_) return;
  asio::post(wire_.get_executor(), std::exchange(on_left_, nullptr));
}

std::optional<LeftLogin> SshLogin::left() {
  const bool whole = !gone_ && !up_.ended && !down_.ended && wire_.is_open() && requests_.is_open();
  if (!whole) return std::nullopt;
  LeftLogin out;
  out.connection = connection_;
  out.up = up_.left();
  out.down = down_.left();
  out.sessions = sessions_->ids;
  ErrorCode ignored;
  out.wire.reset(wire_.release(ignored));
  out.requests.reset(requests_.release());
  return out;
}

asio::awaitable<void> SshLogin::up_task(std::shared_ptr<SshLogin> self) {
  const common::ScopeGuard end([&self] { self->on_task_end(); });
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  Way& way = self->up_;
  while (!self->gone_ && !self->leaving_) {
    if (way.empty()) {
      const auto room = asio::buffer(way.bytes);
      const size_t size = co_await self->connection_->async_read_some(room, token);
      way.begin = 0;
      way.end = size;
      if (!error || self->leaving_) continue;
      way.ended = true;
      break;
    }
    size_t size = send_now(self->wire_, way.rest());
    if (size == 0) size = co_await self->wire_.async_write_some(way.rest(), token);
    way.begin += size;
    if (!error || self->leaving_) continue;
    way.ended = true;
    co_return;  // The process has ended: its last words may still be under way.
  }
  // The client is gone: so the process goes, and hangs up on its sessions.
  ErrorCode ignored;
  if (!self->leaving_ && self->wire_.is_open()) {
    self->wire_.shutdown(LocalSocket::shutdown_send, ignored);
  }
}

asio::awaitable<void> SshLogin::down_task(std::shared_ptr<SshLogin> self) {
  const common::ScopeGuard end([&self] { self->on_task_end(); });
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  Way& way = self->down_;
  while (!self->gone_ && !self->leaving_ && !way.ended) {
    if (way.empty()) {
      const auto room = asio::buffer(way.bytes);
      const size_t size = co_await self->wire_.async_read_some(room, token);
      way.begin = 0;
      way.end = size;
    } else {
      size_t size = self->connection_->send_now(way.view());
      if (size == 0) size = co_await self->connection_->async_write_some(way.rest(), token);
      way.begin += size;
    }
    way.ended = error && !self->leaving_;
  }
  if (!self->gone_ && !way.ended) co_return;  // it is left
  // What was written still arrives. Nobody reads any more what comes.
  self->connection_->shutdown_write();
  self->connection_->cancel();
}

// False: there is none now.
bool SshLogin::take_request() {
  std::array<char, 1 + kSshMaxText> bytes;
  iovec part{bytes.data(), bytes.size()};
  common::FdRoom<1> room;
  msghdr message = room.message(part);
  const ssize_t n = ::recvmsg(requests_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    ErrorCode ignored;
    requests_.close(ignored);
    sessions_->end();
    return false;
  }
  common::UniqueFd fd;
  common::take_fds(message, {&fd, 1});
  const auto asked = static_cast<SshAsk>(bytes[0]);
  if (asked == SshAsk::kServeLink) {
    // A host end's login asks for it once and for nothing before. Whoever else does has been taken
    // over, and may not cut the control plane again and again.
    if (!std::exchange(was_served_, true) && fd) serve_link_(std::move(fd));
    return true;
  }
  if (asked == SshAsk::kServeControl || asked == SshAsk::kServeStdio) serve(asked, std::move(fd));
  if (asked >= SshAsk::kRefused && asked <= SshAsk::kEnded) {
    tell(asked, {bytes.data() + 1, static_cast<size_t>(n) - 1});
  }
  return true;
}

void SshLogin::serve(SshAsk asked, common::UniqueFd fd) {
  was_served_ = true;
  const auto place =
      std::find_if(served_.begin(), served_.end(), [](const auto& weak) { return weak.expired(); });
  if (!fd || place == served_.end()) return;  // Its other end hears of it.
  ErrorCode failed;
  LocalSocket socket(wire_.get_executor());
  socket.assign(asio::local::stream_protocol(), fd.get(), failed);
  if (failed) return;
  (void)fd.release();
  auto connection = std::make_shared<LocalConnection>(std::move(socket));
  *place = connection;
  serve_(asked, std::move(connection), sessions_);
}

// Whoever tells without end has been taken over, and may fill neither the journal nor the way
// there.
void SshLogin::tell(SshAsk what, std::string_view text) {
  const bool too_much = ++news_ > kMostNews;
  if (too_much) {
    what = SshAsk::kRefused;
    text = "a login tells too much, and is ended";
  }
  LinkHeader header;
  header.type = LinkType::kSshNews;
  header.value = static_cast<uint32_t>(what) - static_cast<uint32_t>(SshAsk::kRefused) + 1;
  port_.send(header, text);
  if (too_much) stop();
}

asio::awaitable<void> SshLogin::request_task(std::shared_ptr<SshLogin> self) {
  const common::ScopeGuard end([&self] { self->on_task_end(); });
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  while (!self->gone_ && !self->leaving_ && self->requests_.is_open()) {
    if (self->port_.congested()) {
      co_await self->port_ready_.async_wait(token);  // to its cancellation
      continue;
    }
    co_await self->requests_.async_wait(RequestSocket::wait_read, token);
    if (error) co_return;
    // The others have their turns between.
    for (int i = 0; i < kRequestsPerTurn && self->takes_requests(); ++i) {
      if (!self->take_request()) break;
    }
  }
}

}  // namespace tether
