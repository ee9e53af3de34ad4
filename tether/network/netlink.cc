#include "tether/network/netlink.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace tether {
namespace {

constexpr size_t kMaxAnswer = 8192;
constexpr time_t kAnswerTimeoutS = 5;

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  append(&header, sizeof header);
}

NetlinkMessage& NetlinkMessage::append(const void* data, size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  return *this;
}

NetlinkMessage& NetlinkMessage::attribute(uint16_t type, const void* data, size_t size) {
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + size), type};
  append(&header, sizeof header);
  return append(data, size);
}

NetlinkMessage& NetlinkMessage::number_be(uint16_t type, uint32_t value) {
  return number(type, htonl(value));
}

NetlinkMessage& NetlinkMessage::text(uint16_t type, std::string_view value) {
  const std::string copy(value);
  return attribute(type, copy.c_str(), copy.size() + 1);
}

NetlinkMessage& NetlinkMessage::begin(uint16_t type) {
  open_.push_back(bytes_.size());
  return attribute(type | NLA_F_NESTED, nullptr, 0);
}

NetlinkMessage& NetlinkMessage::end() {
  const size_t at = open_.back();
  open_.pop_back();
  const auto length = static_cast<uint16_t>(bytes_.size() - at);
  std::memcpy(bytes_.data() + at, &length, sizeof length);
  return *this;
}

NetlinkMessage& NetlinkMessage::acknowledge() {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.nlmsg_flags |= NLM_F_ACK;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return *this;
}

std::span<const char> NetlinkMessage::bytes(uint32_t sequence) {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

common::Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  common::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return common::errno_error("socket", "netlink");
  const timeval limit{kAnswerTimeoutS, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return NetlinkSocket(std::move(fd));
}

int NetlinkSocket::request(NetlinkMessage& message) {
  const uint32_t sequence = ++sequence_;
  const auto bytes = message.bytes(sequence);
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) return errno;
  return await(sequence, sequence);
}

int NetlinkSocket::request_batch(std::span<NetlinkMessage> messages, size_t acknowledged) {
  const uint32_t first = sequence_ + 1;
  std::string all;
  for (NetlinkMessage& message : messages) {
    const auto bytes = message.bytes(++sequence_);
    all.append(bytes.data(), bytes.size());
  }
  if (::send(fd_.get(), all.data(), all.size(), 0) < 0) return errno;
  return await(first, first + static_cast<uint32_t>(acknowledged));
}

// Until the answer to `last`, or one that any from `first` on failed.
int NetlinkSocket::await(uint32_t first, uint32_t last) {
  alignas(nlmsghdr) std::array<char, kMaxAnswer> answer;
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), answer.data(), answer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
    size_t at = 0;
    const auto size = static_cast<size_t>(n);
    while (size - at >= sizeof(nlmsghdr)) {
      nlmsghdr header{};
      std::memcpy(&header, answer.data() + at, sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at) return EPROTO;
      if (header.nlmsg_type == NLMSG_ERROR && header.nlmsg_len >= NLMSG_LENGTH(sizeof(int))) {
        int error = 0;
        std::memcpy(&error, answer.data() + at + NLMSG_HDRLEN, sizeof error);
        const bool ours = header.nlmsg_seq >= first && header.nlmsg_seq <= last;
        if (ours && error != 0) return -error;
        if (header.nlmsg_seq == last) return 0;
      }
      at += NLMSG_ALIGN(header.nlmsg_len);
      if (at >= size) break;
    }
  }
}

}  // namespace tether
