// Descriptors passed over unix sockets: SCM_RIGHTS of unix(7), laid out as cmsg(3) wants it.
// Nothing here takes memory, throws or blocks longer than the one system call.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <span>

#include "common/unique_fd.h"

namespace common {

inline constexpr size_t kMaxMessageFds = 8;

// One sendmsg(2), MSG_NOSIGNAL added to `flags`; its result and its errno, EINTR included. The
// descriptors stay the caller's. More than kMaxMessageFds: EINVAL, and nothing is sent.
ssize_t send_fds(int socket, std::span<const iovec> parts, std::span<const int> fds, int flags);

// The control buffer for as many descriptors; lives as long as the message is looked at. Padding
// may let one more in.
template <size_t kFds>
class FdRoom {
 public:
  // For recvmsg(2) with MSG_CMSG_CLOEXEC; holds pointers to `part` and into the room.
  msghdr message(iovec& part) {
    msghdr out{};
    out.msg_iov = &part;
    out.msg_iovlen = 1;
    out.msg_control = bytes_.data();
    out.msg_controllen = bytes_.size();
    return out;
  }

 private:
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFds * sizeof(int))> bytes_;
};

// Takes the descriptors out of what a recvmsg(2) that did not fail has filled in, once. Gives how
// many are in `into` now, from its beginning; those that have no room there are closed.
size_t take_fds(const msghdr& message, std::span<UniqueFd> into);

}  // namespace common
