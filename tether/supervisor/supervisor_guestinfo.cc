// Writing back how it goes, where the configuration came from VMware's guestinfo. PID 1 only keeps
// what is newest and hands it to the process that has the port, as far as that takes it.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tether/boot/guestinfo_main.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr int kReadyMs = 2000;

// False: not within that time.
bool readable(int fd, int timeout_ms) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, timeout_ms) > 0;
}

}  // namespace

// Without it everything else is the same.
void Supervisor::start_guestinfo() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  guestinfo_.reset(ends[0]);
  const common::UniqueFd theirs(ends[1]);
  const FdSlot slot{theirs.get(), kGuestinfoFd};
  const pid_t pid = system_.spawn("guestinfo", std::span(&slot, 1), -1);
  if (pid < 0) return guestinfo_.reset();
  guestinfo_pid_ = pid;
  pump_guestinfo();
}

// It has the port, or will never have it.
void Supervisor::await_guestinfo() {
  if (!guestinfo_) return;
  char ready = 0;
  if (readable(guestinfo_.get(), kReadyMs) &&
      ::recv(guestinfo_.get(), &ready, sizeof ready, MSG_DONTWAIT) == 1) {
    return;
  }
  drop(guestinfo_);
  tell_trouble(protocol::Trouble::kGuestinfo, "the port is not to be had");
}

// Nothing of this waits: what finds no room is sent when there is some, if it is still the newest.
void Supervisor::pump_guestinfo() {
  while (const GuestinfoRecord* record = guestinfo_ ? guestinfo_state_.next() : nullptr) {
    if (::send(guestinfo_.get(), record, sizeof *record, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EAGAIN && epoll_) {
        watch(guestinfo_.get(), EPOLLOUT | EPOLLONESHOT, Source::kGuestinfo);
      }
      return;
    }
    guestinfo_state_.sent();
  }
}

// The port is gone with it.
void Supervisor::on_guestinfo_death() {
  guestinfo_pid_ = 0;
  if (!guestinfo_) return;
  drop(guestinfo_);
  tell_trouble(protocol::Trouble::kGuestinfo, "its writer has ended");
}

void Supervisor::stop_guestinfo() {
  if (!guestinfo_) return;
  finish_guestinfo(guestinfo_.get(), guestinfo_state_);
  drop(guestinfo_);
}

}  // namespace tether
