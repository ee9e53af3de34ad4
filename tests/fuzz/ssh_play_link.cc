// The link process of the play, and the sessions behind it.
#include <sys/socket.h>

#include "common/fd_message.h"
#include "protocol/control.pb.h"
#include "protocol/stdio.h"
#include "ssh_play.h"
#include "tether/link/ssh/ssh_role.h"

namespace tether {

using serial_transport::require;

void SshPlay::take_asks() {
  for (;;) {
    std::array<char, 1 + kSshMaxText> bytes;
    iovec part{bytes.data(), bytes.size()};
    common::FdRoom<1> room;
    msghdr message = room.message(part);
    if (::recvmsg(asks_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) return;
    require((message.msg_flags & MSG_TRUNC) == 0, "news fits");
    common::UniqueFd owned;
    if (common::take_fds(message, {&owned, 1}) == 0 || left_) continue;
    auto& place = bytes[0] == static_cast<char>(SshAsk::kServeControl) ? control_ : others_;
    place.push_back(std::move(owned));
    require(others_.size() < 3000, "what one login asks for is bounded");
  }
}

void SshPlay::hear_requests() {
  std::array<char, 1U << 16U> bytes;
  const ssize_t n = ::recv(control_[0].get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n > 0) heard_.append(bytes.data(), static_cast<size_t>(n));
  for (size_t size = 0, head = 1; !heard_.empty(); head = 1, size = 0) {
    size = static_cast<unsigned char>(heard_[0]) & 0x7fU;
    for (; head < heard_.size() && head < 4 && (heard_[head - 1] & 0x80) != 0; ++head) {
      size |= (static_cast<unsigned char>(heard_[head]) & 0x7fU) << 7 * head;
    }
    if (heard_.size() < head + size) break;
    ::tether::v1::Request request;
    require(request.ParseFromArray(heard_.data() + head, static_cast<int>(size)),
            "requests are well-formed");
    requests_.push_back(request.id());
    heard_.erase(0, head + size);
  }
}

void SshPlay::reply(const std::string& bytes) {
  (void)::send(control_[0].get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// There is such a user, as the session finds out that is asked for first. False: that is over.
bool SshPlay::let_in() {
  --checks_;
  if (control_.empty()) return true;
  hear_requests();
  if (!requests_.empty()) {
    ::tether::v1::Message message;
    message.mutable_reply()->set_id(requests_.front());
    message.mutable_reply()->set_session(1);
    requests_.clear();
    const std::string body = message.SerializeAsString();
    reply(std::string(1, static_cast<char>(body.size())) + body);
  }
  if (others_.empty()) return true;
  const std::string end = protocol::encode_frame(
      protocol::StdioType::kExit, protocol::Stream::kStdin, 0, encode(protocol::StdioExit()));
  (void)::send(others_[0].get(), end.data(), end.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  checks_ = 0;
  return true;
}

// To the oldest request that waits, or no answer that makes sense.
void SshPlay::answer_control() {
  if (control_.empty()) return;
  hear_requests();
  const uint8_t how = input_.byte();
  ::tether::v1::Message message;
  if (how < 240 && !requests_.empty()) message.mutable_reply()->set_id(requests_.front());
  if (!requests_.empty()) requests_.erase(requests_.begin());
  if (how % 4 != 3) {
    message.mutable_reply()->set_session(1 + how % 8);
  } else {
    message.mutable_reply()->mutable_failure()->set_object(text(40));
    message.mutable_reply()->mutable_failure()->set_errno_value(input_.byte());
  }
  std::string out = how == 255 ? text(100) : message.SerializeAsString();
  if (how != 255) out.insert(0, 1, static_cast<char>(out.size() & 0x7fU));
  reply(out);
}

void SshPlay::answer_stdio() {
  if (others_.empty()) return;
  const int fd = others_[others_.size() - 1 - input_.byte() % others_.size()].get();
  const uint8_t how = input_.byte();
  std::string payload = text(400);
  if (how % 8 == 0) payload = std::string(60000, 'o');
  if (how % 8 == 1) {
    protocol::StdioExit exit;
    exit.exit_code = input_.byte();
    exit.signal = input_.byte() % 80;
    exit.stage = input_.byte() % 4;
    exit.errno_value = input_.byte();
    exit.object = payload;
    payload = encode(exit);
  }
  const auto type = how % 8 == 1   ? protocol::StdioType::kExit
                    : how % 8 == 0 ? protocol::StdioType::kData
                                   : static_cast<protocol::StdioType>(how / 8 % 12);
  const auto stream = static_cast<protocol::Stream>(input_.byte() % 3);
  const std::string out =
      how % 8 == 7 ? payload : protocol::encode_frame(type, stream, input_.number(2), payload);
  (void)::send(fd, out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// A session's connection ends, or the link process does.
void SshPlay::forget() {
  const uint8_t which = input_.byte();
  if (which == 255) return control_.clear();
  if (!others_.empty()) others_.erase(others_.begin() + which % static_cast<long>(others_.size()));
}

common::UniqueFd SshPlay::connect() {
  int ends[2];
  if (input_.byte() % 4 == 0 || left_) return {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  others_.emplace_back(ends[0]);
  return common::UniqueFd(ends[1]);
}

}  // namespace tether
