#include "serial-transport/line.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace serial_transport {

bool is_socket(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

LinkState state_of(int fd) {
  if (is_socket(fd)) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0) {
      return LinkState::kListening;
    }
    sockaddr_storage peer{};
    size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0 && errno == ENOTCONN) {
      return LinkState::kConnecting;
    }
  }
  // Without a host end a virtio-serial port reports POLLIN and POLLHUP together: look at the latter
  // first, or spin.
  pollfd state{fd, POLLIN, 0};
  const bool hung_up =
      ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  return hung_up ? LinkState::kHungUp : LinkState::kOpen;
}

size_t queued_bytes(int fd) {
  int queued = 0;  // TIOCOUTQ and SIOCOUTQ are the same number
  return ::ioctl(fd, TIOCOUTQ, &queued) == 0 && queued > 0 ? static_cast<size_t>(queued) : 0;
}

bool is_from_host(int socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  return is_from_host(peer);
}

bool is_from_host(const sockaddr_storage& peer) {
  if (peer.ss_family != AF_VSOCK) return true;
  sockaddr_vm address{};
  std::memcpy(&address, &peer, sizeof address);
  return address.svm_cid == VMADDR_CID_HOST;
}

}  // namespace serial_transport
