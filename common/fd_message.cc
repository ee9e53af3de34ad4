#include "common/fd_message.h"

#include <cerrno>
#include <cstring>

namespace common {

ssize_t send_fds(int socket, std::span<const iovec> parts, std::span<const int> fds, int flags) {
  if (fds.size() > kMaxMessageFds) {
    errno = EINVAL;  // as the kernel says of more than SCM_MAX_FD
    return -1;
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxMessageFds * sizeof(int))> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

size_t take_fds(const msghdr& message, std::span<UniqueFd> into) {
  auto* header = const_cast<msghdr*>(&message);  // CMSG_NXTHDR asks for one that is not const
  size_t taken = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(header); part != nullptr; part = CMSG_NXTHDR(header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      UniqueFd owned(fd);
      if (taken < into.size()) into[taken++] = std::move(owned);
    }
  }
  return taken;
}

}  // namespace common
