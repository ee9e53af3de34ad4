#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "serial-transport/line.h"
#include "serial-transport/link_keeper.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

constexpr auto kShortestRetry = 10ms;
constexpr auto kLongestRetry = 1000ms;
constexpr auto kLongestHangUp = 100ms;  // between looks at a link that is there, without a peer
constexpr auto kReviewEvery = 600ms;
constexpr int kClientsPerTurn = 8;

}  // namespace

LinkKeeper::LinkKeeper(asio::any_io_executor executor, std::vector<LinkOpener> openers, Use use)
    : executor_(std::move(executor)),
      use_(std::move(use)),
      retry_(executor_),
      connecting_(executor_) {
  for (LinkOpener& opener : openers) {
    candidates_.push_back({std::move(opener), Descriptor(executor_), false});
  }
}

void LinkKeeper::start() { search(0); }

void LinkKeeper::close() {
  closed_ = true;
  use_ = nullptr;
  retry_.cancel();
  ErrorCode ignored;
  connecting_.close(ignored);
  for (Candidate& candidate : candidates_) candidate.listener.close(ignored);
}

void LinkKeeper::lost() {
  if (closed_) return;
  in_use_.reset();
  hung_up_ = retry_helps_ = true;
  for (size_t i = 0; i < candidates_.size(); ++i) wait_for_client(i);
  retry_later();
}

// A look that is planned is left alone: it finds a link in use, or comes in time.
void LinkKeeper::reopen() {
  if (closed_) return;
  in_use_.reset();
  back_off_ = {};
  search(0);
}

void LinkKeeper::proved() { back_off_ = {}; }

void LinkKeeper::review() {
  const auto now = std::chrono::steady_clock::now();
  if (closed_ || !in_use_ || connecting_.is_open() || now < looked_at_ + kReviewEvery) return;
  looked_at_ = now;
  const size_t count = candidates_.size();
  for (size_t i = 1; i <= count; ++i) {
    const size_t index = (*in_use_ + i) % count;
    // The one in use is worth a look only when somebody else may be waiting there.
    if (i == count && !candidates_[index].listener.is_open()) return;
    if (attempt(index)) return;
  }
}

std::string LinkKeeper::trouble() const { return in_use_ ? std::string() : trouble_; }

// From the `first` candidate on: those before it have just failed.
void LinkKeeper::search(size_t first) {
  if (closed_ || in_use_ || connecting_.is_open()) return;
  if (first == 0) hung_up_ = retry_helps_ = false;
  for (size_t i = first; i < candidates_.size(); ++i) {
    if (attempt(i)) return;
  }
  for (size_t i = 0; i < candidates_.size(); ++i) wait_for_client(i);
  if (retry_helps_) retry_later();
}

// True when a link came of it, or is about to.
bool LinkKeeper::attempt(size_t index) {
  Candidate& candidate = candidates_[index];
  if (candidate.listener.is_open()) return take_client(index);
  auto opened = candidate.open();
  if (opened.has_error()) {
    retry_helps_ = true;
    note(opened.error());
    return false;
  }
  switch (state_of(opened->fd.get())) {
    case LinkState::kListening: {
      ErrorCode error;
      candidate.listener.assign(opened->fd.get(), error);
      if (error) return false;
      (void)opened->fd.release();
      return take_client(index);
    }
    case LinkState::kConnecting:
      wait_connected(index, std::move(*opened));
      return true;
    case LinkState::kHungUp:
      retry_helps_ = hung_up_ = true;
      trouble_ = "the link has no other end";
      return false;
    case LinkState::kOpen:
      break;
  }
  return take(index, std::move(*opened));
}

bool LinkKeeper::take_client(size_t index) {
  Descriptor& listener = candidates_[index].listener;
  trouble_ = "nobody has connected";
  for (int i = 0; i < kClientsPerTurn; ++i) {
    common::UniqueFd client(
        ::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client && is_from_host(client.get())) return take(index, std::move(client));
    if (client || errno == EINTR || errno == ECONNABORTED) continue;
    if (errno != EAGAIN) {
      note(common::errno_error("accept", "link"));
      ErrorCode ignored;
      listener.close(ignored);
      retry_helps_ = true;
    }
    return false;
  }
  return false;
}

void LinkKeeper::wait_for_client(size_t index) {
  Candidate& candidate = candidates_[index];
  if (!candidate.listener.is_open() || std::exchange(candidate.waiting, true)) return;
  candidate.listener.async_wait(Descriptor::wait_read,
                                [self = shared_from_this(), index](ErrorCode error) {
                                  self->candidates_[index].waiting = false;
                                  if (!error) self->search(0);
                                });
}

void LinkKeeper::wait_connected(size_t index, Link link) {
  ErrorCode error;
  connecting_.assign(::fcntl(link.fd.get(), F_DUPFD_CLOEXEC, 3), error);
  if (error) return;
  auto held = std::make_shared<Link>(std::move(link));
  connecting_.async_wait(Descriptor::wait_write,
                         [self = shared_from_this(), index, held](ErrorCode failed) {
                           if (self->closed_) return;
                           ErrorCode ignored;
                           self->connecting_.close(ignored);
                           int code = failed ? failed.value() : 0;
                           socklen_t size = sizeof code;
                           if (!failed)
                             ::getsockopt(held->fd.get(), SOL_SOCKET, SO_ERROR, &code, &size);
                           if (code == 0 && state_of(held->fd.get()) != LinkState::kOpen)
                             code = ECONNREFUSED;
                           if (code == 0 && self->take(index, std::move(*held))) return;
                           self->note(common::make_error(code, "connect", "link"));
                           self->retry_helps_ = true;
                           self->search(index + 1);
                         });
}

bool LinkKeeper::take(size_t index, Link link) {
  for (const int fd : {link.fd.get(), link.out_fd.get()}) {
    if (fd < 0 || ::isatty(fd) == 0) continue;
    const common::Status raw = make_raw(fd, 0, "link");
    if (raw.has_error()) {
      note(raw.error());
      retry_helps_ = true;
      return false;
    }
    const LineTraits found = terminal_traits(fd);
    link.traits.can_corrupt = true;
    if (link.traits.bytes_per_second == 0) link.traits.bytes_per_second = found.bytes_per_second;
  }
  in_use_ = index;
  looked_at_ = std::chrono::steady_clock::now();
  use_(std::move(link));
  return true;
}

void LinkKeeper::retry_later() {
  if (std::exchange(retrying_, true)) return;
  const std::chrono::milliseconds longest = hung_up_ ? kLongestHangUp : kLongestRetry;
  back_off_ = std::clamp<std::chrono::milliseconds>(back_off_ * 2, kShortestRetry, longest);
  retry_.expires_after(back_off_);
  retry_.async_wait([self = shared_from_this()](ErrorCode error) {
    self->retrying_ = false;
    if (!error) self->search(0);
  });
}

void LinkKeeper::note(const common::Error& error) { trouble_ = error.message(); }

}  // namespace serial_transport
